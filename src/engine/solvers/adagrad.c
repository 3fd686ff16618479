/*
 * AdaGrad (Duchi, Hazan, Singer 2011).
 *
 *   h <- h + g^2
 *   w <- w - rate * g / (sqrt(h) + delta)
 *
 * Source: Caffe's AdaGradSolver.
 */
#include <math.h>

#include "engine/solvers/rule.h"

static enum status adagrad_check(const Caffe__SolverParameter *param, struct error *err)
{
    if (param->momentum != 0)
        return error_set(err, INVALID, "AdaGrad has no momentum: momentum must be 0, not %g",
                         param->momentum);
    return OK;
}

static void adagrad_update(const struct update *u)
{
    float *w = u->data, *h = u->history[0];
    const float rate = u->rate, delta = u->delta;
    RULE_FOR(u, i)
    {
        float g = update_gradient(u, i);
        float sum = h[i] + g * g;
        h[i] = sum;
        w[i] -= rate * (g / (sqrtf(sum) + delta));
    }
}

const struct rule rule_adagrad = {
    .type = "AdaGrad",
    .n_histories = 1,
    .check = adagrad_check,
    .update = adagrad_update,
};
