/*
 * Nesterov's accelerated gradient.
 *
 *   v' = momentum * v + rate * g
 *   w <- w - ((1 + momentum) * v' - momentum * v)
 *
 * Source: Caffe's NesterovSolver.
 */
#include "engine/solvers/rule.h"

static void nesterov_update(const struct update *u)
{
    float *w = u->data, *v = u->history[0];
    const float rate = u->rate, momentum = u->momentum;
    RULE_FOR(u, i)
    {
        float old = v[i];
        float step = momentum * old + rate * update_gradient(u, i);
        v[i] = step;
        w[i] -= (1 + momentum) * step - momentum * old;
    }
}

const struct rule rule_nesterov = {
    .type = "Nesterov",
    .n_histories = 1,
    .update = nesterov_update,
};
