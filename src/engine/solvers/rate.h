/*
 * rate.h - the learning rate of an iteration, by Caffe's policies.
 *
 *   fixed      base_lr
 *   step       base_lr * gamma ^ floor(iteration / stepsize)
 *   exp        base_lr * gamma ^ iteration
 *   inv        base_lr * (1 + gamma * iteration) ^ -power
 *   multistep  base_lr * gamma ^ (number of stepvalues passed)
 *   poly       base_lr * (1 - iteration / max_iter) ^ power
 *   sigmoid    base_lr / (1 + exp(-gamma * (iteration - stepsize)))
 */
#ifndef ET_RATE_H
#define ET_RATE_H

#include "base/base.h"
#include "netdef/caffe.pb-c.h"

/* INVALID for an unknown policy (the known ones are named) and for settings that the policy cannot take. */
enum status rate_check(const Caffe__SolverParameter *param, struct error *err);

/*
 * The rate of `iteration` (from 0) for settings that rate_check has passed.
 * *step is the solver's current_step: "step" sets it, "multistep" moves it on
 * by at most one a call, which is once an iteration.
 */
float rate_at(const Caffe__SolverParameter *param, int64_t iteration, int *step);

#endif
