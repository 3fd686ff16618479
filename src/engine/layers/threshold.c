/* threshold.c - y = 1 where x > threshold, else 0; no gradient */
#include "engine/elementwise.h"
#include "engine/layers/layer_util.h"

static enum status threshold_forward(struct layer *l, struct error *err)
{
    (void)err;
    float threshold =
        LAYER_PARAM(l, Caffe__ThresholdParameter, threshold_param, CAFFE__THRESHOLD_PARAMETER__INIT)
            ->threshold;
    const float *x = l->bottoms[0].data;
    float *y = l->tops[0].data;
    ELEMENTWISE(i, l->tops[0].n_floats, y[i] = x[i] > threshold ? 1 : 0);
    return OK;
}

static void threshold_backward(struct layer *l)
{
    float *dx = l->bottoms[0].diff;
    if (dx)
        ELEMENTWISE(i, l->bottoms[0].n_floats, dx[i] = 0);
}

const struct layer_ops layer_threshold = {
    .type = "Threshold",
    .in_place = true,
    .forward = threshold_forward,
    .backward = threshold_backward,
};
