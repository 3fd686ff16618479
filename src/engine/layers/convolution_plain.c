#include "engine/layers/convolution_plain.h"

#include <string.h>

void convolution_plain_plan(struct convolution_plain *s, struct layer *l, struct planner *p, bool transposed)
{
    const Caffe__ConvolutionParameter *param = l->def->param->convolution_param;
    const struct shape *bottom = &l->bottoms[0].shape, *top = &l->tops[0].shape;
    const struct shape *image = transposed ? top : bottom, *positions = transposed ? bottom : top;
    int axis = shape_axis(bottom, param->axis);
    *s = (struct convolution_plain){
        .n = (size_t)shape_count_range(bottom, 0, axis),
        .group = param->group,
        .image_channels = (size_t)image->dim[axis] / param->group,
        .positions_channels = (size_t)positions->dim[axis] / param->group,
        .transposed = transposed,
    };
    sliding_init(&s->kernel, param, image, positions, axis);
    s->map = plan_keep(p, s->kernel.kernel_places * s->kernel.positions * sizeof(int));
    sliding_map(&s->kernel, s->map);
}

/* A channel of one side of an item. */
static size_t plane_at(size_t item, size_t channels, size_t plane, size_t channel)
{
    return (item * channels + channel) * plane;
}

/* What is done for each weight: it joins one channel of the image with one of the positions. */
typedef void (*visitor)(const struct sliding *k, const int *map, float *weight, float *image,
                        float *positions);

static void visit_all(const struct convolution_plain *s, visitor visit, float *weights, float *image,
                      float *positions)
{
    const struct sliding *k = &s->kernel;
    for (size_t n = 0; n < s->n; n++) {
        float *weight = weights;
        for (size_t q = 0; q < s->group * s->positions_channels; q++) {
            size_t first = q / s->positions_channels * s->image_channels;
            float *at = positions + plane_at(n, s->group * s->positions_channels, k->positions, q);
            for (size_t c = first; c < first + s->image_channels; c++) {
                float *plane = image + plane_at(n, s->group * s->image_channels, k->plane, c);
                for (size_t i = 0; i < k->kernel_places; i++)
                    visit(k, s->map + i * k->positions, weight++, plane, at);
            }
        }
    }
}

static void see(const struct sliding *k, const int *map, float *weight, float *image, float *positions)
{
    for (size_t j = 0; j < k->positions; j++)
        if (map[j] >= 0)
            positions[j] += *weight * image[map[j]];
}

static void paint(const struct sliding *k, const int *map, float *weight, float *image, float *positions)
{
    for (size_t j = 0; j < k->positions; j++)
        if (map[j] >= 0)
            image[map[j]] += *weight * positions[j];
}

static void correlate(const struct sliding *k, const int *map, float *weight, float *image, float *positions)
{
    float sum = 0;
    for (size_t j = 0; j < k->positions; j++)
        if (map[j] >= 0)
            sum += image[map[j]] * positions[j];
    *weight += sum;
}

/* Of the top, whichever side that is. */
static size_t top_plane(const struct convolution_plain *s)
{
    return s->transposed ? s->kernel.plane : s->kernel.positions;
}

static size_t top_channels(const struct convolution_plain *s)
{
    return s->group * (s->transposed ? s->image_channels : s->positions_channels);
}

void convolution_plain_forward(const struct convolution_plain *s, struct layer *l)
{
    float *weights = l->params[0]->data;
    size_t channels = top_channels(s), plane = top_plane(s);
    for (int b = 0; b < l->n_bottoms; b++) {
        float *x = l->bottoms[b].data, *y = l->tops[b].data;
        memset(y, 0, l->tops[b].n_floats * sizeof(float));
        if (s->transposed)
            visit_all(s, paint, weights, y, x);
        else
            visit_all(s, see, weights, x, y);
        for (size_t i = 0; l->n_params > 1 && i < s->n * channels * plane; i++)
            y[i] += l->params[1]->data[i / plane % channels];
    }
}

static void add_bias_gradient(const struct convolution_plain *s, struct layer *l, const float *dy)
{
    float *db = param_diff_add(l->params[1]);
    size_t channels = top_channels(s), plane = top_plane(s);
    for (size_t i = 0; i < s->n * channels; i++) {
        float sum = 0;
        for (size_t j = 0; j < plane; j++)
            sum += dy[i * plane + j];
        db[i % channels] += sum;
    }
}

void convolution_plain_backward(const struct convolution_plain *s, struct layer *l)
{
    float *weights = l->params[0]->data;
    for (int b = 0; b < l->n_bottoms; b++) {
        float *x = l->bottoms[b].data, *dy = l->tops[b].diff;
        if (l->param_propagate_down[0] && s->transposed)
            visit_all(s, correlate, param_diff_add(l->params[0]), dy, x);
        else if (l->param_propagate_down[0])
            visit_all(s, correlate, param_diff_add(l->params[0]), x, dy);
        if (l->n_params > 1 && l->param_propagate_down[1])
            add_bias_gradient(s, l, dy);
    }
    for (int b = 0; b < l->n_bottoms; b++) {
        float *dx = l->bottoms[b].diff, *dy = l->tops[b].diff;
        if (!dx)
            continue;
        memset(dx, 0, l->bottoms[b].n_floats * sizeof(float));
        if (s->transposed)
            visit_all(s, see, weights, dy, dx);
        else
            visit_all(s, paint, weights, dx, dy);
    }
}
