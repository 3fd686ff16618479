/*
 * Stochastic gradient descent with momentum.
 *
 *   v <- momentum * v + rate * g
 *   w <- w - v
 *
 * The rate is inside the history: after the rate changes, old steps keep theirs.
 * Source: Caffe's SGDSolver.
 */
#include "engine/solvers/rule.h"

static void sgd_update(const struct update *u)
{
    float *w = u->data, *v = u->history[0];
    const float rate = u->rate, momentum = u->momentum;
    RULE_FOR(u, i)
    {
        float step = momentum * v[i] + rate * update_gradient(u, i);
        v[i] = step;
        w[i] -= step;
    }
}

const struct rule rule_sgd = {
    .type = "SGD",
    .n_histories = 1,
    .update = sgd_update,
};
