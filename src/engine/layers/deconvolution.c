/*
 * deconvolution.c - the transpose of a convolution: each value of the bottom
 * adds a kernel to the top, at its stride
 *
 * bottoms (N, I, positions...), weights (I, O/group, k...), bias (O),
 * tops (N, O, sizes...); several bottoms share the weights.  Plain loops.
 */
#include <string.h>

#include "engine/layers/sliding.h"
#include "engine/plan.h"

struct deconvolution {
    struct sliding kernel; /* on the top, a position for each value of the bottom */
    size_t n, in, out, group;
    bool has_bias;
    int *map;
};

static enum status deconvolution_setup(struct layer *l, struct error *err)
{
    struct deconvolution *s = l->state;
    const Caffe__ConvolutionParameter *p = l->def->param->convolution_param;
    const struct shape *bottom = &l->bottoms[0].shape, *top = &l->tops[0].shape;
    if (!p)
        return error_set(err, INVALID, "needs convolution_param");
    int channel = shape_axis(bottom, p->axis);
    sliding_init(&s->kernel, p, top, bottom, channel);
    s->n = (size_t)shape_count_range(bottom, 0, channel);
    s->in = (size_t)bottom->dim[channel];
    s->out = (size_t)top->dim[channel];
    s->group = p->group;
    s->has_bias = p->bias_term;
    return OK;
}

static enum status deconvolution_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    struct deconvolution *s = l->state;
    s->map = plan_keep(p, s->kernel.kernel_places * s->kernel.positions * sizeof(int));
    sliding_map(&s->kernel, s->map);
    return OK;
}

/* First weight between channel `in` and the out-th channel of its group's. */
static size_t weights_at(const struct deconvolution *s, size_t in, size_t out)
{
    return (in * (s->out / s->group) + out) * s->kernel.kernel_places;
}

/* One plane of a top: bias, and what every channel of the group's bottoms adds. */
static void forward_plane(const struct layer *l, int which, size_t item, size_t channel)
{
    const struct deconvolution *s = l->state;
    size_t ins = s->in / s->group, outs = s->out / s->group, group = channel / outs;
    float *y = l->tops[which].data + (item * s->out + channel) * s->kernel.plane;
    float bias = s->has_bias ? l->params[1]->data[channel] : 0;
    for (size_t i = 0; i < s->kernel.plane; i++)
        y[i] = bias;
    for (size_t c = group * ins; c < (group + 1) * ins; c++) {
        const float *x = l->bottoms[which].data + (item * s->in + c) * s->kernel.positions;
        const float *w = l->params[0]->data + weights_at(s, c, channel % outs);
        for (size_t k = 0; k < s->kernel.kernel_places; k++) {
            const int *map = s->map + k * s->kernel.positions;
            for (size_t i = 0; i < s->kernel.positions; i++)
                if (map[i] >= 0)
                    y[map[i]] += w[k] * x[i];
        }
    }
}

static enum status deconvolution_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct deconvolution *s = l->state;
    for (int which = 0; which < l->n_bottoms; which++) {
#pragma omp parallel for if (l->tops[which].n_floats * s->kernel.kernel_places >= 65536)
        for (size_t plane = 0; plane < s->n * s->out; plane++)
            forward_plane(l, which, plane / s->out, plane % s->out);
    }
    return OK;
}

/* Gradients that one plane of a bottom has part in: its own, and those of its channel's weights. */
static void backward_plane(const struct layer *l, int which, size_t item, size_t channel, float *dw)
{
    const struct deconvolution *s = l->state;
    size_t ins = s->in / s->group, outs = s->out / s->group, first = channel / ins * outs;
    size_t from = (item * s->in + channel) * s->kernel.positions;
    const float *x = l->bottoms[which].data + from;
    float *dx = l->bottoms[which].diff ? l->bottoms[which].diff + from : NULL;
    if (dx)
        memset(dx, 0, s->kernel.positions * sizeof(float));
    for (size_t o = 0; o < outs; o++) {
        const float *dy = l->tops[which].diff + (item * s->out + first + o) * s->kernel.plane;
        size_t at = weights_at(s, channel, o);
        for (size_t k = 0; k < s->kernel.kernel_places; k++) {
            const int *map = s->map + k * s->kernel.positions;
            float w = l->params[0]->data[at + k], sum = 0;
            for (size_t i = 0; i < s->kernel.positions; i++) {
                if (map[i] < 0)
                    continue;
                sum += x[i] * dy[map[i]];
                if (dx)
                    dx[i] += w * dy[map[i]];
            }
            if (dw)
                dw[at + k] += sum;
        }
    }
}

static void add_bias_gradient(const struct layer *l, int which)
{
    const struct deconvolution *s = l->state;
    float *db = param_diff_add(l->params[1]);
    for (size_t plane = 0; plane < s->n * s->out; plane++) {
        const float *dy = l->tops[which].diff + plane * s->kernel.plane;
        float sum = 0;
        for (size_t i = 0; i < s->kernel.plane; i++)
            sum += dy[i];
        db[plane % s->out] += sum;
    }
}

static void deconvolution_backward(struct layer *l)
{
    const struct deconvolution *s = l->state;
    float *dw = l->params[0]->is_learned ? param_diff_add(l->params[0]) : NULL;
    for (int which = 0; which < l->n_bottoms; which++) {
        if (!l->tops[which].diff)
            continue;
        if (s->has_bias && l->params[1]->is_learned)
            add_bias_gradient(l, which);
            /* A channel's weights belong to one thread. */
#pragma omp parallel for if (l->tops[which].n_floats * s->kernel.kernel_places >= 65536)
        for (size_t c = 0; c < s->in; c++)
            for (size_t item = 0; item < s->n; item++)
                backward_plane(l, which, item, c, dw);
    }
}

const struct layer_ops layer_deconvolution = {
    .type = "Deconvolution",
    .state_size = sizeof(struct deconvolution),
    .backward_needs = NEEDS_BOTTOM_DATA,
    .setup = deconvolution_setup,
    .plan = deconvolution_plan,
    .forward = deconvolution_forward,
    .backward = deconvolution_backward,
};
