/*
 * im2col.c - the values under each position of a sliding kernel, as columns
 *
 * bottom (N, C, sizes...), top (N, C * kernel places, positions...): the row
 * (c, k...) holds what kernel element k sees of channel c; padding reads 0.
 */
#include <string.h>

#include "engine/layers/layer_util.h"

struct axis {
    int size, out, kernel, stride, pad, dilation;
};

struct im2col {
    size_t n, channels, plane, positions, kernel_places;
    int n_axes;
    struct axis axes[SHAPE_MAX_AXES];
};

static int pick(size_t n, const uint32_t *values, int axis, int otherwise)
{
    return n == 0 ? otherwise : (int)values[n == 1 ? 0 : axis];
}

static enum status im2col_setup(struct layer *l, struct error *err)
{
    struct im2col *s = l->state;
    const Caffe__ConvolutionParameter *p = l->def->param->convolution_param;
    const struct shape *bottom = &l->bottoms[0].shape, *top = &l->tops[0].shape;
    if (!p)
        return error_set(err, INVALID, "needs convolution_param with a kernel_size");
    int channel = shape_axis(bottom, p->axis);
    s->n = (size_t)shape_count_range(bottom, 0, channel);
    s->channels = (size_t)bottom->dim[channel];
    s->n_axes = bottom->n_axes - channel - 1;
    s->plane = s->positions = s->kernel_places = 1;
    for (int i = 0; i < s->n_axes; i++) {
        struct axis *a = &s->axes[i];
        *a = (struct axis){
            .size = bottom->dim[channel + 1 + i],
            .out = top->dim[channel + 1 + i],
            .kernel = pick(p->n_kernel_size, p->kernel_size, i, 1),
            .stride = pick(p->n_stride, p->stride, i, 1),
            .pad = pick(p->n_pad, p->pad, i, 0),
            .dilation = pick(p->n_dilation, p->dilation, i, 1),
        };
        if (p->has_kernel_h)
            a->kernel = (int)(i ? p->kernel_w : p->kernel_h);
        if (p->has_stride_h)
            a->stride = (int)(i ? p->stride_w : p->stride_h);
        if (p->has_pad_h)
            a->pad = (int)(i ? p->pad_w : p->pad_h);
        s->plane *= (size_t)a->size;
        s->positions *= (size_t)a->out;
        s->kernel_places *= (size_t)a->kernel;
    }
    return OK;
}

/* Index in the plane of what kernel element k sees at a position; -1: padding. */
static long seen_at(const struct im2col *s, size_t k, size_t position)
{
    long index = 0, stride = 1;
    for (int i = s->n_axes - 1; i >= 0; i--) {
        const struct axis *a = &s->axes[i];
        long at = (long)(position % (size_t)a->out) * a->stride - a->pad +
                  (long)(k % (size_t)a->kernel) * a->dilation;
        if (at < 0 || at >= a->size)
            return -1;
        index += at * stride;
        stride *= a->size;
        position /= (size_t)a->out;
        k /= (size_t)a->kernel;
    }
    return index;
}

static enum status im2col_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct im2col *s = l->state;
    for (size_t r = 0; r < s->n * s->channels * s->kernel_places; r++) {
        const float *x = l->bottoms[0].data + r / s->kernel_places * s->plane;
        float *y = l->tops[0].data + r * s->positions;
        for (size_t i = 0; i < s->positions; i++) {
            long at = seen_at(s, r % s->kernel_places, i);
            y[i] = at < 0 ? 0 : x[at];
        }
    }
    return OK;
}

static void im2col_backward(struct layer *l)
{
    const struct im2col *s = l->state;
    if (!l->bottoms[0].diff)
        return;
    memset(l->bottoms[0].diff, 0, l->bottoms[0].n_floats * sizeof(float));
    for (size_t r = 0; r < s->n * s->channels * s->kernel_places; r++) {
        float *dx = l->bottoms[0].diff + r / s->kernel_places * s->plane;
        const float *dy = l->tops[0].diff + r * s->positions;
        for (size_t i = 0; i < s->positions; i++) {
            long at = seen_at(s, r % s->kernel_places, i);
            if (at >= 0)
                dx[at] += dy[i];
        }
    }
}

const struct layer_ops layer_im2col = {
    .type = "Im2col",
    .state_size = sizeof(struct im2col),
    .setup = im2col_setup,
    .forward = im2col_forward,
    .backward = im2col_backward,
};
