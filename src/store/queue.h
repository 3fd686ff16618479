/*
 * queue.h - jobs: waiting, leased, ended.
 *
 *   documents_create --> WAITING --(dependencies, time)--> READY --queue_lease--> LEASED
 *        WAITING <--queue_finish(RETRY), lapse: back-off-----------------------------|
 *        READY   <--queue_finish(RELEASED)-------------------------------------------|
 *        ended   <--queue_finish(DONE, FAILED, CANCELLED)----------------------------'
 *        ended   <--queue_cancel-- WAITING, READY;   LEASED: a flag, told by heartbeats
 *
 * A job has the id of its document; the row is written with it and goes when
 * the job ends.  Each lease is a new attempt, and only the current attempt
 * may write (fencing); attempts that count against max_attempts are those
 * that ended in RETRY or LAPSED.  The next job is that of the ready owner with
 * the least running in the pool, then priority, then position: its age,
 * unless its owner has moved it (queue_move).
 */
#ifndef ET_QUEUE_H
#define ET_QUEUE_H

#include "store/documents.h"

#define LEASE_TOKEN_MAX 65
#define WORKER_MAX      128

enum outcome {
    OUTCOME_NONE, /* still running */
    OUTCOME_DONE,
    OUTCOME_FAILED,   /* the user's doing: retried only where the job says so */
    OUTCOME_RETRY,    /* the machine's doing: again after 5 s, doubling */
    OUTCOME_RELEASED, /* ready at once, not counted */
    OUTCOME_CANCELLED,
    OUTCOME_LAPSED, /* the worker was lost */
};
/* The protocol's word ("done"), and back; OUTCOME_NONE: no word that a worker may say. */
const char *outcome_word(enum outcome outcome);
enum outcome outcome_of(const char *word);

struct lease_request {
    const char *request_id; /* the worker's, 32 hex digits */
    const char *worker;
    const char *const *pools; /* in order of preference */
    int n_pools;
    const char *const *all_pools; /* that the worker serves, open to jobs now or not; none: the same */
    int n_all_pools;
    int slots;     /* jobs wanted at most */
    int all_slots; /* that the worker has, free or not; 0: not said */
    int64_t lease_ms;
};

struct job {
    char id[DOCUMENT_ID_MAX];
    char owner[OWNER_MAX];
    char *kind, *pool;
    char *worker; /* NULL: not leased */
    int attempt;  /* of the current or last lease; 0: none yet */
    int counted;  /* attempts that counted so far */
    int max_attempts;
    int priority;
    int64_t position;
    enum document_state state;                    /* WAITING, READY or PROCESSING */
    bool cancel;                                  /* asked to stop */
    int64_t not_before_ms, leased_ms, expires_ms; /* 0: does not apply */
    json_t *spec;
    char token[LEASE_TOKEN_MAX]; /* queue_lease only: the attempt's credential; else "" */
};
void job_release(struct job *j);

struct job_list {
    int n;
    struct job *jobs;
    bool drained; /* queue_lease only: the worker gets no new ones */
};
void job_list_release(struct job_list *l);

/*
 * Leases up to slots jobs; an empty list is OK.  The same request_id from the
 * same worker gets the jobs that it still holds, with the same tokens.  A
 * drained worker (workers.h) gets none but those.
 */
enum status queue_lease(struct store *s, const struct lease_request *request, int64_t now_ms,
                        struct job_list *ret_list, struct error *err);

/*
 * Is token the credential of this attempt, and the attempt the current one?
 * Errors: DENIED (wrong token), CONFLICT (over, or leased anew).
 */
enum status queue_check_lease(struct store *s, const char *job, int attempt, const char *token,
                              struct error *err);

enum stop_wish { STOP_NOT, STOP_SAVING, STOP_AT_ONCE };
/* Extends the lease to now + its lease time.  Errors: CONFLICT when the attempt is not the current one. */
enum status queue_heartbeat(struct store *s, const char *job, int attempt, int64_t now_ms,
                            enum stop_wish *ret_stop, struct error *err);

struct finish {
    const char *job;
    const char *owner; /* of the job, or NULL: it is looked up */
    int attempt;
    enum outcome outcome;
    const char *reason;           /* NULL: "" */
    const json_t *result;         /* merge patch (RFC 7396) for the document's body, when the job has ended,
                                     however it did; NULL: none */
    const struct blob_ref *blobs; /* references for the document, beside those it has */
    int n_blobs;
    bool at_once; /* RETRY: ready again without a back-off */
};
/*
 * Ends an attempt.  Asked to cancel, a job that was not done ends cancelled
 * whatever the outcome.  A job that fails or is cancelled fails those that
 * depend on it, all the way.  The same outcome again: OK, nothing happens.
 * Errors: CONFLICT when the attempt is not the current one; NOT_FOUND for a blob.
 */
enum status queue_finish(struct store *s, const struct finish *finish, int64_t now_ms, struct error *err);

/*
 * Ends an unfinished job as DONE or FAILED, whoever holds it, if anybody: its
 * outcome has come by another way.  finish->attempt does not count.
 * Errors: NOT_FOUND (no such document); CONFLICT (its job is over).
 */
enum status queue_conclude(struct store *s, const char *owner, const struct finish *finish, int64_t now_ms,
                           struct error *err);

/* The jobs of a pool that a worker holds, without tokens. */
enum status queue_held(struct store *s, const char *pool, const char *worker, struct job_list *ret_list,
                       struct error *err);

/*
 * Cancels the job of a document.  who: a name for "cancelled by NAME".
 * ret_state: CANCELLED, or PROCESSING when a worker has yet to stop it.
 * Again: OK.  Errors: NOT_FOUND (no such document); CONFLICT (it has no job, or ended otherwise).
 */
enum status queue_cancel(struct store *s, const char *owner, const char *id, const char *who, int64_t now_ms,
                         enum document_state *ret_state, struct error *err);
/* The same, but a worker is not to wait until it has saved its state. */
enum status queue_kill(struct store *s, const char *owner, const char *id, const char *who, int64_t now_ms,
                       enum document_state *ret_state, struct error *err);

struct job_move {
    enum { MOVE_NOT, MOVE_FIRST, MOVE_LAST, MOVE_BEFORE } where;
    const char *before; /* MOVE_BEFORE: a job of the same owner and pool */
    int priority;       /* MOVE_NOT: the new priority */
};
/*
 * Reorders an owner's jobs that have not begun, in their pool.  The job moved
 * takes the priority of its new neighbours; its document says it.
 * Errors: NOT_FOUND; CONFLICT when it, or the one it should precede, has
 * begun, ended, or is of another pool.
 */
enum status queue_move(struct store *s, const char *owner, const char *id, const struct job_move *move,
                       int64_t now_ms, struct document *ret_document, struct error *err);

/* An unfinished job.  Errors: NOT_FOUND when there is none (any more). */
enum status queue_job(struct store *s, const char *id, struct job *ret_job, struct error *err);

/* The leased jobs, of all owners for NULL, by id; at most `limit`. */
enum status queue_leased(struct store *s, const char *owner, int limit, struct job_list *ret_list,
                         struct error *err);

struct attempt {
    int attempt;
    char worker[WORKER_MAX];
    int64_t started_ms, ended_ms; /* ended 0: running */
    enum outcome outcome;
    char *reason;
};
struct attempt_list {
    int n;
    struct attempt *attempts;
};
void attempt_list_release(struct attempt_list *l);
/* All attempts at a document's job, the running one too, oldest first. */
enum status queue_attempts(struct store *s, const char *id, struct attempt_list *ret_list, struct error *err);

/* For the gauges of /metrics: unfinished jobs by state, in all pools. */
struct queue_counts {
    int64_t waiting, ready, leased;
};
enum status queue_count(struct store *s, struct queue_counts *ret_counts, struct error *err);

#endif
