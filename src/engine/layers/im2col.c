/*
 * im2col.c - the values under each position of a sliding kernel, as columns
 *
 * bottom (N, C, sizes...), top (N, C * kernel places, positions...): the row
 * (c, k...) holds what kernel element k sees of channel c; padding reads 0.
 */
#include <string.h>

#include "engine/layers/sliding.h"
#include "engine/plan.h"

struct im2col {
    struct sliding kernel;
    size_t planes; /* N * C */
    int *map;
};

static enum status im2col_setup(struct layer *l, struct error *err)
{
    struct im2col *s = l->state;
    const Caffe__ConvolutionParameter *p = l->def->param->convolution_param;
    const struct shape *bottom = &l->bottoms[0].shape;
    if (!p)
        return error_set(err, INVALID, "needs convolution_param with a kernel_size");
    int channel = shape_axis(bottom, p->axis);
    sliding_init(&s->kernel, p, bottom, &l->tops[0].shape, channel);
    s->planes = (size_t)shape_count_range(bottom, 0, channel + 1);
    return OK;
}

static enum status im2col_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    struct im2col *s = l->state;
    s->map = plan_keep(p, s->kernel.kernel_places * s->kernel.positions * sizeof(int));
    sliding_map(&s->kernel, s->map);
    return OK;
}

static enum status im2col_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct im2col *s = l->state;
    size_t n = s->kernel.kernel_places * s->kernel.positions;
    for (size_t c = 0; c < s->planes; c++) {
        const float *x = l->bottoms[0].data + c * s->kernel.plane;
        float *y = l->tops[0].data + c * n;
        for (size_t i = 0; i < n; i++)
            y[i] = s->map[i] < 0 ? 0 : x[s->map[i]];
    }
    return OK;
}

static void im2col_backward(struct layer *l)
{
    const struct im2col *s = l->state;
    size_t n = s->kernel.kernel_places * s->kernel.positions;
    if (!l->bottoms[0].diff)
        return;
    memset(l->bottoms[0].diff, 0, l->bottoms[0].n_floats * sizeof(float));
    for (size_t c = 0; c < s->planes; c++) {
        float *dx = l->bottoms[0].diff + c * s->kernel.plane;
        const float *dy = l->tops[0].diff + c * n;
        for (size_t i = 0; i < n; i++)
            if (s->map[i] >= 0)
                dx[s->map[i]] += dy[i];
    }
}

const struct layer_ops layer_im2col = {
    .type = "Im2col",
    .state_size = sizeof(struct im2col),
    .setup = im2col_setup,
    .plan = im2col_plan,
    .forward = im2col_forward,
    .backward = im2col_backward,
};
