/*
 * optimizer.h - parameters, their gradients and histories: one update step.
 *
 * Order of a step, as in Caffe: rate, clipping of the summed gradients,
 * division by iter_size, weight decay, rule.  So clipping sees neither the
 * division nor the decay, and the decay is not divided.
 *
 * A history has the layout of its parameter (n_floats, padding 0).
 */
#ifndef ET_OPTIMIZER_H
#define ET_OPTIMIZER_H

#include "engine/layer.h"
#include "engine/solvers/rule.h"

struct optimizer;

/* INVALID for settings that make no sense. */
enum status optimizer_check(const Caffe__SolverParameter *param, struct error *err);

/* For settings that optimizer_check has passed.  `params` are lent, `param` too. */
struct optimizer *optimizer_new(const Caffe__SolverParameter *param, struct param **params, int n_params,
                                int threads);
void optimizer_free(struct optimizer *o);
void optimizer_freep(struct optimizer **o);

/* Where the rate policies stand; saved with a snapshot. */
int optimizer_step(const struct optimizer *o);
void optimizer_set_step(struct optimizer *o, int step);

/*
 * The rate of `iteration`; to be asked once an iteration, in order ("multistep" counts).
 */
float optimizer_rate(struct optimizer *o, int64_t iteration);

/* Applies the gradients that lie in the parameters.  With snapshot_diff they hold the step taken afterwards.
 */
void optimizer_update(struct optimizer *o, int64_t iteration, float rate);

/*
 * Histories in Caffe's order: one for each parameter, then, where the rule
 * has two, a second for each.
 */
int optimizer_n_histories(const struct optimizer *o);
const struct param *optimizer_history_param(const struct optimizer *o, int index);
float *optimizer_history(struct optimizer *o, int index);

#endif
