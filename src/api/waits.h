/*
 * waits.h - who waits for what: long polls, by topic.
 *
 * A waiter is part of its owner's struct.  It is woken once: when one of its
 * topics stirs, at its deadline, at look_ms, after WAITS_FALLBACK_MS (a topic
 * may stir in another process), when its client has gone, or when all are
 * woken.  There may be ten thousand patient ones: for them other processes'
 * topics are told, or all stir (store_on_change), and they are asked less
 * often whether they have gone.
 */
#ifndef ET_WAITS_H
#define ET_WAITS_H

#include "base/base.h"

#define WAITS_TOPICS      20 /* six pools, their twins for bf16, and more */
#define WAITS_FALLBACK_MS 5000

struct waits;
struct waiter;

struct waiter_topic {
    struct waiter_topic *next, **link;
    struct waiter *waiter;
    uint64_t hash;
};

struct waiter {
    struct waiter_topic topics[WAITS_TOPICS];
    int n_topics;
    int64_t deadline_ms;               /* monotonic */
    int64_t look_ms;                   /* monotonic: woken by then in any case; 0: not asked for */
    void (*wake)(struct waiter *w);    /* not linked any more; quick, calls no waits_ function */
    bool (*is_gone)(struct waiter *w); /* asked every second, of a patient one every five */
    bool is_patient;
    struct waiter *next, **link;
    int64_t fallback_ms, ask_gone_ms;
};

enum status waits_new(struct waits **ret_waits, struct error *err);
void waits_free(struct waits *w); /* nobody may wait any more; NULL is fine */

/* Before looking for what one may then wait for. */
uint64_t waits_stamp(struct waits *w);
/* Topics are added to a waiter that is not waiting; past WAITS_TOPICS it only falls back. */
void waiter_topic_add(struct waiter *waiter, const char *topic);
/* False: a topic stirred since the stamp, or all were woken for good; look again. */
bool waits_add(struct waits *w, struct waiter *waiter, uint64_t stamp);

void waits_stir(struct waits *w, const char *topic);
/* Wakes one of its waiters, who stirs it again when there is something for another one. */
void waits_stir_one(struct waits *w, const char *topic);
void waits_stir_all(struct waits *w); /* every topic */
/* From here on nobody waits. */
void waits_end(struct waits *w);

#endif
