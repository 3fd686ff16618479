/*
 * rule.h - how one solver turns gradients into new values: one file, one
 * const struct rule, one row in table.c.
 *
 * All that solvers have in common is done by the caller (optimizer.h): the
 * rate of this iteration, the clipping and averaging of gradients, the
 * choice of histories.  A rule is one flat loop over the floats of one
 * parameter, in whatever layout the parameter has.
 */
#ifndef ET_RULE_H
#define ET_RULE_H

#include "base/base.h"
#include "netdef/caffe.pb-c.h"

#define RULE_MAX_HISTORIES 2
/* Loops shorter than this run on one thread. */
#define RULE_PARALLEL_FLOATS 65536

struct update {
    size_t n;
    float *data;
    const float *diff;
    float *history[RULE_MAX_HISTORIES]; /* those that the rule has */
    float scale;                        /* of diff: clipping and 1/iter_size */
    float decay, decay_sign;            /* gradient += decay * data + decay_sign * sign(data) */
    float rate;                         /* lr * lr_mult */
    float momentum, momentum2, rms_decay;
    float delta;       /* above 0 */
    int64_t iteration; /* from 0 */
    int threads;
};

struct rule {
    const char *type; /* "SGD" */
    int n_histories;
    /* Settings that this rule cannot take: INVALID.  May be NULL. */
    enum status (*check)(const Caffe__SolverParameter *param, struct error *err);
    void (*update)(const struct update *u);
};

extern const struct rule rule_sgd, rule_nesterov, rule_adagrad, rule_rmsprop, rule_adadelta, rule_adam;

/*
 * The rule that `type`, or the older solver_type, names.
 * Errors: INVALID for an unknown name, with the known ones, and when both are given.
 */
enum status rule_find(const Caffe__SolverParameter *param, const struct rule **ret_rule, struct error *err);

/* The i-th gradient as a rule sees it: clipped, averaged, regularised. */
static inline float update_gradient(const struct update *u, size_t i)
{
    float w = u->data[i];
    return u->scale * u->diff[i] + u->decay * w + u->decay_sign * (float)((w > 0) - (w < 0));
}

/* Runs over the floats of update u: vectorised, and on all threads when there is work for them. */
#define RULE_PRAGMA(text) _Pragma(#text)
#define RULE_FOR(u, i)                                                                                       \
    RULE_PRAGMA(omp parallel for simd num_threads((u)->threads) if ((u)->n > RULE_PARALLEL_FLOATS))          \
    for (size_t i = 0; i < (u)->n; i++)

#endif
