/*
 * Adam (Kingma, Ba 2014); momentum and momentum2 are the paper's betas.
 *
 *   m <- momentum * m + (1 - momentum) * g
 *   v <- momentum2 * v + (1 - momentum2) * g^2
 *   w <- w - rate * sqrt(1 - momentum2^t) / (1 - momentum^t) * m / (sqrt(v) + delta)
 *
 * with t counted from 1; delta is not corrected for bias.
 * Source: Caffe's AdamSolver.
 */
#include <math.h>

#include "engine/solvers/rule.h"

static enum status adam_check(const Caffe__SolverParameter *param, struct error *err)
{
    if (param->momentum == 1)
        return error_set(err, INVALID, "Adam divides by 1 - momentum: momentum must not be 1");
    return OK;
}

static void adam_update(const struct update *u)
{
    float *w = u->data, *m = u->history[0], *v = u->history[1];
    const float beta1 = u->momentum, beta2 = u->momentum2, delta = u->delta;
    double t = (double)(u->iteration + 1);
    const float rate = (float)(u->rate * sqrt(1 - pow(beta2, t)) / (1 - pow(beta1, t)));
    RULE_FOR(u, i)
    {
        float g = update_gradient(u, i);
        float mean = beta1 * m[i] + (1 - beta1) * g;
        float square = beta2 * v[i] + (1 - beta2) * (g * g);
        m[i] = mean;
        v[i] = square;
        w[i] -= rate * (mean / (sqrtf(square) + delta));
    }
}

const struct rule rule_adam = {
    .type = "Adam",
    .n_histories = 2,
    .check = adam_check,
    .update = adam_update,
};
