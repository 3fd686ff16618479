#include "engine/layers/sliding.h"

static int pick(size_t n, const uint32_t *values, int axis, int otherwise)
{
    return n == 0 ? otherwise : (int)values[n == 1 ? 0 : axis];
}

void sliding_init(struct sliding *s, const Caffe__ConvolutionParameter *param, const struct shape *image,
                  const struct shape *positions, int channel_axis)
{
    *s = (struct sliding){1, 1, 1, image->n_axes - channel_axis - 1, {{0}}};
    for (int i = 0; i < s->n_axes; i++) {
        struct sliding_axis *a = &s->axes[i];
        *a = (struct sliding_axis){
            .size = image->dim[channel_axis + 1 + i],
            .positions = positions->dim[channel_axis + 1 + i],
            .kernel = pick(param->n_kernel_size, param->kernel_size, i, 1),
            .stride = pick(param->n_stride, param->stride, i, 1),
            .pad = pick(param->n_pad, param->pad, i, 0),
            .dilation = pick(param->n_dilation, param->dilation, i, 1),
        };
        if (param->has_kernel_h || param->has_kernel_w)
            a->kernel = (int)(i ? param->kernel_w : param->kernel_h);
        if (param->has_stride_h || param->has_stride_w)
            a->stride = (int)(i ? param->stride_w : param->stride_h);
        if (param->has_pad_h || param->has_pad_w)
            a->pad = (int)(i ? param->pad_w : param->pad_h);
        s->plane *= (size_t)a->size;
        s->positions *= (size_t)a->positions;
        s->kernel_places *= (size_t)a->kernel;
    }
}

static int seen_at(const struct sliding *s, size_t kernel_place, size_t position)
{
    int64_t index = 0, stride = 1;
    for (int i = s->n_axes - 1; i >= 0; i--) {
        const struct sliding_axis *a = &s->axes[i];
        int64_t at = (int64_t)(position % (size_t)a->positions) * a->stride - a->pad +
                     (int64_t)(kernel_place % (size_t)a->kernel) * a->dilation;
        if (at < 0 || at >= a->size)
            return -1;
        index += at * stride;
        stride *= a->size;
        position /= (size_t)a->positions;
        kernel_place /= (size_t)a->kernel;
    }
    return (int)index;
}

void sliding_map(const struct sliding *s, int *map)
{
    for (size_t k = 0; k < s->kernel_places; k++)
        for (size_t i = 0; i < s->positions; i++)
            map[k * s->positions + i] = seen_at(s, k, i);
}
