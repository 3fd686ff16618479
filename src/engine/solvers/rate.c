#include "engine/solvers/rate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static double rate_fixed(const Caffe__SolverParameter *p, int64_t iteration, int *step)
{
    (void)p, (void)iteration, (void)step;
    return 1;
}

static double rate_step(const Caffe__SolverParameter *p, int64_t iteration, int *step)
{
    *step = (int)(iteration / p->stepsize);
    return pow(p->gamma, *step);
}

static double rate_exp(const Caffe__SolverParameter *p, int64_t iteration, int *step)
{
    (void)step;
    return pow(p->gamma, (double)iteration);
}

static double rate_inv(const Caffe__SolverParameter *p, int64_t iteration, int *step)
{
    (void)step;
    return pow(1 + p->gamma * (double)iteration, -(double)p->power);
}

static double rate_multistep(const Caffe__SolverParameter *p, int64_t iteration, int *step)
{
    if (*step >= 0 && (size_t)*step < p->n_stepvalue && iteration >= p->stepvalue[*step])
        ++*step;
    return pow(p->gamma, *step);
}

static double rate_poly(const Caffe__SolverParameter *p, int64_t iteration, int *step)
{
    (void)step;
    return pow(1 - (double)iteration / p->max_iter, p->power);
}

static double rate_sigmoid(const Caffe__SolverParameter *p, int64_t iteration, int *step)
{
    (void)step;
    return 1 / (1 + exp(-(double)p->gamma * (double)(iteration - p->stepsize)));
}

static const struct policy {
    const char *name;
    double (*factor)(const Caffe__SolverParameter *p, int64_t iteration, int *step);
    bool needs_gamma, needs_stepsize;
} policies[] = {
    {"fixed", rate_fixed, false, false},
    {"step", rate_step, true, true},
    {"exp", rate_exp, true, false},
    {"inv", rate_inv, true, false},
    {"multistep", rate_multistep, true, false},
    {"poly", rate_poly, false, false},
    {"sigmoid", rate_sigmoid, true, true},
};

static const struct policy *policy_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
        if (!strcmp(policies[i].name, name))
            return &policies[i];
    return NULL;
}

enum status rate_check(const Caffe__SolverParameter *param, struct error *err)
{
    const char *name = param->lr_policy ? param->lr_policy : "";
    const struct policy *policy = policy_find(name);
    if (!policy) {
        char known[128];
        int n = 0;
        for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
            n += snprintf(known + n, sizeof(known) - (size_t)n, "%s%s", i ? ", " : "", policies[i].name);
        if (!*name)
            return error_set(err, INVALID, "the solver has no lr_policy; known are %s", known);
        return error_set(err, INVALID, "lr_policy '%s' is not known; known are %s", name, known);
    }
    if (policy->needs_gamma && !(param->gamma >= 0))
        return error_set(err, INVALID, "lr_policy '%s' needs a gamma of 0 or more, not %g", name,
                         param->gamma);
    if (policy->needs_stepsize && param->stepsize <= 0)
        return error_set(err, INVALID, "lr_policy '%s' needs a stepsize above 0, not %d", name,
                         param->stepsize);
    return OK;
}

float rate_at(const Caffe__SolverParameter *param, int64_t iteration, int *step)
{
    return (float)(param->base_lr * policy_find(param->lr_policy)->factor(param, iteration, step));
}
