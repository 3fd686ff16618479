/* parameter.c - a learned blob as a top */
#include <string.h>

#include "engine/layer.h"

static enum status parameter_forward(struct layer *l, struct error *err)
{
    (void)err;
    memcpy(l->tops[0].data, l->params[0]->data, l->tops[0].n_floats * sizeof(float));
    return OK;
}

static void parameter_backward(struct layer *l)
{
    if (!l->param_propagate_down[0] || !l->tops[0].diff)
        return;
    float *diff = param_diff_add(l->params[0]);
    for (size_t i = 0; i < l->tops[0].n_floats; i++)
        diff[i] += l->tops[0].diff[i];
}

const struct layer_ops layer_parameter = {
    .type = "Parameter",
    .forward = parameter_forward,
    .backward = parameter_backward,
};
