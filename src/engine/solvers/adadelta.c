/*
 * AdaDelta (Zeiler 2012); momentum is the paper's rho.
 *
 *   h <- momentum * h + (1 - momentum) * g^2
 *   s  = g * sqrt((d + delta) / (h + delta))
 *   d <- momentum * d + (1 - momentum) * s^2
 *   w <- w - rate * s
 *
 * Source: Caffe's AdaDeltaSolver.
 */
#include <math.h>

#include "engine/solvers/rule.h"

static void adadelta_update(const struct update *u)
{
    float *w = u->data, *h = u->history[0], *d = u->history[1];
    const float rate = u->rate, momentum = u->momentum, delta = u->delta;
    RULE_FOR(u, i)
    {
        float g = update_gradient(u, i);
        float gradients = momentum * h[i] + (1 - momentum) * (g * g);
        float step = g * sqrtf((d[i] + delta) / (gradients + delta));
        h[i] = gradients;
        d[i] = momentum * d[i] + (1 - momentum) * (step * step);
        w[i] -= rate * step;
    }
}

const struct rule rule_adadelta = {
    .type = "AdaDelta",
    .n_histories = 2,
    .update = adadelta_update,
};
