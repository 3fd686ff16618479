/*
 * RMSProp (Tieleman, Hinton 2012).
 *
 *   h <- rms_decay * h + (1 - rms_decay) * g^2
 *   w <- w - rate * g / (sqrt(h) + delta)
 *
 * Source: Caffe's RMSPropSolver.
 */
#include <math.h>

#include "engine/solvers/rule.h"

static enum status rmsprop_check(const Caffe__SolverParameter *param, struct error *err)
{
    if (param->momentum != 0)
        return error_set(err, INVALID, "RMSProp has no momentum: momentum must be 0, not %g",
                         param->momentum);
    if (!(param->rms_decay >= 0 && param->rms_decay < 1))
        return error_set(err, INVALID, "rms_decay must be from 0 to below 1, not %g", param->rms_decay);
    return OK;
}

static void rmsprop_update(const struct update *u)
{
    float *w = u->data, *h = u->history[0];
    const float rate = u->rate, decay = u->rms_decay, delta = u->delta;
    RULE_FOR(u, i)
    {
        float g = update_gradient(u, i);
        float mean = decay * h[i] + (1 - decay) * (g * g);
        h[i] = mean;
        w[i] -= rate * (g / (sqrtf(mean) + delta));
    }
}

const struct rule rule_rmsprop = {
    .type = "RMSProp",
    .n_histories = 1,
    .check = rmsprop_check,
    .update = rmsprop_update,
};
