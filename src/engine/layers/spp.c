/*
 * spp.c - spatial pyramid pooling: level k pools the planes to 2^k x 2^k
 * windows, maximum or average; the levels follow one another.
 *
 * bottom (N,C,H,W), top (N, sum over levels of C * windows), each level
 * (C, windows); one level alone keeps four axes.
 *
 * A level pools with kernel = stride = ceil(size / 2^k), padded by half of
 * what is left over, by the rules of pooling.c.
 */
#include <float.h>
#include <string.h>

#include "engine/layers/layer_util.h"
#include "engine/plan.h"

#define SPP_MAX_LEVELS 30

struct side {
    int size, kernel, pad, pooled; /* stride = kernel */
};

struct spp {
    int n_levels;
    bool is_max;
    struct side h[SPP_MAX_LEVELS], w[SPP_MAX_LEVELS];
    size_t n, channels, plane; /* bottom (n, channels, plane) */
};

static struct side side_of(int size, int level)
{
    int bins = 1 << level;
    int kernel = (size + bins - 1) / bins;
    int pad = (kernel * bins - size + 1) / 2;
    int pooled = (size + 2 * pad - kernel + kernel - 1) / kernel + 1;
    return (struct side){size, kernel, pad, pooled};
}

/* With padding the last window must begin inside the image or the padding before it. */
static void drop_last(struct side *s)
{
    if ((s->pooled - 1) * s->kernel >= s->size + s->pad)
        s->pooled--;
}

static enum status spp_setup(struct layer *l, struct error *err)
{
    struct spp *s = l->state;
    const Caffe__SPPParameter *p = LAYER_PARAM(l, Caffe__SPPParameter, spp_param, CAFFE__SPPPARAMETER__INIT);
    const struct shape *shape = &l->bottoms[0].shape;
    if (p->pool == CAFFE__SPPPARAMETER__POOL_METHOD__STOCHASTIC)
        return error_set(err, UNSUPPORTED, "stochastic pooling is not in this build");
    s->n_levels = (int)MIN(p->pyramid_height, (unsigned)SPP_MAX_LEVELS);
    s->is_max = p->pool == CAFFE__SPPPARAMETER__POOL_METHOD__MAX;
    s->n = (size_t)shape->dim[0];
    s->channels = (size_t)shape->dim[1];
    s->plane = (size_t)shape->dim[2] * (size_t)shape->dim[3];
    size_t places = 0;
    for (int k = 0; k < s->n_levels; k++) {
        s->h[k] = side_of(shape->dim[2], k);
        s->w[k] = side_of(shape->dim[3], k);
        if (s->h[k].pad || s->w[k].pad) {
            drop_last(&s->h[k]);
            drop_last(&s->w[k]);
        }
        places += (size_t)s->h[k].pooled * (size_t)s->w[k].pooled;
    }
    if (s->n * s->channels * places != (size_t)shape_count(&l->tops[0].shape))
        return error_set(err, INVALID, "a pyramid of %d levels does not fit the bottom", s->n_levels);
    return OK;
}

/* Where each maximum lay in its plane. */
static enum status spp_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    if (((const struct spp *)l->state)->is_max)
        plan_workspace(p, (size_t)shape_count(&l->tops[0].shape) * sizeof(int));
    return OK;
}

struct window {
    int from, to; /* inside the image */
    int length;   /* with padding, without overhang */
};

static struct window window_of(const struct side *s, int index)
{
    int from = index * s->kernel - s->pad;
    int to = MIN(from + s->kernel, s->size + s->pad);
    return (struct window){MAX(from, 0), MIN(to, s->size), to - from};
}

typedef void visit(struct layer *l, size_t plane, struct window h, struct window w, int width, size_t top);

/* Calls f for every window of every level, in the order of the top. */
static void for_each_window(struct layer *l, visit *f)
{
    const struct spp *s = l->state;
    size_t top = 0;
    for (size_t n = 0; n < s->n; n++)
        for (int k = 0; k < s->n_levels; k++)
            for (size_t c = 0; c < s->channels; c++)
                for (int i = 0; i < s->h[k].pooled; i++)
                    for (int j = 0; j < s->w[k].pooled; j++)
                        f(l, n * s->channels + c, window_of(&s->h[k], i), window_of(&s->w[k], j),
                          s->w[k].size, top++);
}

static void pool_max(struct layer *l, size_t plane, struct window h, struct window w, int width, size_t top)
{
    const float *x = l->bottoms[0].data + plane * ((const struct spp *)l->state)->plane;
    int *places = l->workspace, best = -1;
    float value = -FLT_MAX;
    for (int i = h.from; i < h.to; i++)
        for (int j = w.from; j < w.to; j++)
            if (x[i * width + j] > value) {
                best = i * width + j;
                value = x[best];
            }
    l->tops[0].data[top] = value;
    places[top] = best;
}

static void pool_average(struct layer *l, size_t plane, struct window h, struct window w, int width,
                         size_t top)
{
    const float *x = l->bottoms[0].data + plane * ((const struct spp *)l->state)->plane;
    float sum = 0;
    for (int i = h.from; i < h.to; i++)
        for (int j = w.from; j < w.to; j++)
            sum += x[i * width + j];
    l->tops[0].data[top] = sum / (float)(h.length * w.length);
}

static void unpool_max(struct layer *l, size_t plane, struct window h, struct window w, int width, size_t top)
{
    (void)h, (void)w, (void)width;
    const int *places = l->workspace;
    if (places[top] >= 0)
        l->bottoms[0].diff[plane * ((const struct spp *)l->state)->plane + (size_t)places[top]] +=
            l->tops[0].diff[top];
}

static void unpool_average(struct layer *l, size_t plane, struct window h, struct window w, int width,
                           size_t top)
{
    float *dx = l->bottoms[0].diff + plane * ((const struct spp *)l->state)->plane;
    float share = l->tops[0].diff[top] / (float)(h.length * w.length);
    for (int i = h.from; i < h.to; i++)
        for (int j = w.from; j < w.to; j++)
            dx[i * width + j] += share;
}

static enum status spp_forward(struct layer *l, struct error *err)
{
    (void)err;
    for_each_window(l, ((const struct spp *)l->state)->is_max ? pool_max : pool_average);
    return OK;
}

static void spp_backward(struct layer *l)
{
    if (!l->bottoms[0].diff)
        return;
    memset(l->bottoms[0].diff, 0, l->bottoms[0].n_floats * sizeof(float));
    for_each_window(l, ((const struct spp *)l->state)->is_max ? unpool_max : unpool_average);
}

const struct layer_ops layer_spp = {
    .type = "SPP",
    .state_size = sizeof(struct spp),
    .setup = spp_setup,
    .plan = spp_plan,
    .forward = spp_forward,
    .backward = spp_backward,
};
