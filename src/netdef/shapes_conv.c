/* Layers that slide a window: convolutions, poolings, Im2col. */
#include "netdef/shapes.h"

#include <limits.h>

struct window {
    int channel_axis, n_spatial;
    int64_t kernel[SHAPE_MAX_AXES], stride[SHAPE_MAX_AXES], pad[SHAPE_MAX_AXES], dilation[SHAPE_MAX_AXES];
};

/* One setting of a window: a list (one for all axes, or one an axis), or the pair _h and _w. */
struct setting {
    const char *name;
    const uint32_t *list;
    size_t n_list;
    bool has_pair;
    uint32_t h, w;
    uint32_t fallback; /* when nothing is given */
    bool required;
    bool may_be_zero;
};

static enum status read_setting(struct shaping *s, const struct setting *set, int n_spatial, int64_t *values)
{
    if (set->has_pair && set->n_list)
        return shape_error(s, "give %s, or %s_h and %s_w, not both", set->name, set->name, set->name);
    if (set->has_pair && n_spatial != 2)
        return shape_error(s, "%s_h and %s_w are for 2 spatial axes, not %d", set->name, set->name,
                           n_spatial);
    if (!set->has_pair && (set->n_list || set->required) && set->n_list != 1 &&
        set->n_list != (size_t)n_spatial)
        return shape_error(s, "%s must be given once, or once for each of the %d spatial axes, not %zu times",
                           set->name, n_spatial, set->n_list);
    for (int i = 0; i < n_spatial; i++) {
        if (set->has_pair)
            values[i] = i ? set->w : set->h;
        else
            values[i] = set->n_list ? set->list[set->n_list == 1 ? 0 : i] : set->fallback;
        if ((values[i] == 0 && !set->may_be_zero) || values[i] > INT_MAX)
            return shape_error(s, "%s %lld must be between %d and 2147483647", set->name,
                               (long long)values[i], set->may_be_zero ? 0 : 1);
    }
    return OK;
}

static enum status read_window(struct shaping *s, const Caffe__ConvolutionParameter *param, struct window *w)
{
    TRY(bottom_axis(s, 0, param->axis, &w->channel_axis));
    w->n_spatial = s->bottoms[0]->n_axes - w->channel_axis - 1;
    const struct setting settings[] = {
        {"kernel_size", param->kernel_size, param->n_kernel_size, param->has_kernel_h || param->has_kernel_w,
         param->kernel_h, param->kernel_w, 0, true, false},
        {"stride", param->stride, param->n_stride, param->has_stride_h || param->has_stride_w,
         param->stride_h, param->stride_w, 1, false, false},
        {"pad", param->pad, param->n_pad, param->has_pad_h || param->has_pad_w, param->pad_h, param->pad_w, 0,
         false, true},
        {"dilation", param->dilation, param->n_dilation, false, 0, 0, 1, false, false},
    };
    int64_t *values[] = {w->kernel, w->stride, w->pad, w->dilation};
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        TRY(read_setting(s, &settings[i], w->n_spatial, values[i]));
    return OK;
}

/*
 * out = (in + 2*pad - extent) / stride + 1, extent = dilation*(kernel - 1) + 1
 *
 * Caffe's division rounds towards 0: a kernel that is too long by less than a
 * stride has one place, and sees 0 past the padding.
 */
static enum status convolved_lengths(struct shaping *s, const struct window *w, int64_t *ret_lengths)
{
    char text[BOTTOM_TEXT_MAX];
    for (int i = 0; i < w->n_spatial; i++) {
        int64_t in = s->bottoms[0]->dim[w->channel_axis + 1 + i];
        int64_t extent = w->dilation[i] * (w->kernel[i] - 1) + 1;
        int64_t room = in + 2 * w->pad[i] - extent;
        if (room <= -w->stride[i])
            return shape_error(s, "kernel of %lld does not fit length %lld padded by %lld: %s",
                               (long long)extent, (long long)in, (long long)w->pad[i],
                               bottom_text(s, 0, text));
        ret_lengths[i] = room / w->stride[i] + 1;
    }
    return OK;
}

/* out = stride*(in - 1) + extent - 2*pad */
static enum status deconvolved_lengths(struct shaping *s, const struct window *w, int64_t *ret_lengths)
{
    char text[BOTTOM_TEXT_MAX];
    for (int i = 0; i < w->n_spatial; i++) {
        int64_t in = s->bottoms[0]->dim[w->channel_axis + 1 + i], length;
        int64_t extent = w->dilation[i] * (w->kernel[i] - 1) + 1;
        if (__builtin_mul_overflow(w->stride[i], in - 1, &length) ||
            __builtin_add_overflow(length, extent - 2 * w->pad[i], &length) || length < 1)
            return shape_error(s, "pad of %lld leaves nothing of %s", (long long)w->pad[i],
                               bottom_text(s, 0, text));
        ret_lengths[i] = length;
    }
    return OK;
}

static enum status check_outputs(struct shaping *s, const Caffe__ConvolutionParameter *param)
{
    if (!param->num_output || param->num_output > INT_MAX)
        return shape_error(s, "num_output must be at least 1");
    if (!param->group || param->num_output % param->group)
        return shape_error(s, "num_output %u must be a multiple of group %u", param->num_output,
                           param->group);
    return OK;
}

static enum status check_channels(struct shaping *s, const Caffe__ConvolutionParameter *param, int channels)
{
    char text[BOTTOM_TEXT_MAX];
    if (!channels || channels % (int64_t)param->group)
        return shape_error(s, "the %d channels of %s must be a multiple of group %u", channels,
                           bottom_text(s, 0, text), param->group);
    for (int i = 1; i < s->n_bottoms; i++)
        TRY(check_same_shape(s, 0, i));
    return OK;
}

/*
 * bottoms (N..., C, spatial...), tops (N..., num_output, spatial...),
 * weights (out, in/group, kernel...), with out and in exchanged for
 * Deconvolution, bias (num_output).
 */
static enum status shape_convolutions(struct shaping *s, bool reversed)
{
    static const Caffe__ConvolutionParameter none = CAFFE__CONVOLUTION_PARAMETER__INIT;
    const Caffe__ConvolutionParameter *param =
        s->param->convolution_param ? s->param->convolution_param : &none;
    const struct shape *bottom = s->bottoms[0];
    TRY(check_outputs(s, param));
    struct shape weights = shape_unknown;
    struct window w;
    int64_t lengths[SHAPE_MAX_AXES], dims[SHAPE_MAX_AXES];
    if (bottoms_known(s)) {
        TRY(read_window(s, param, &w));
        int channels = bottom->dim[w.channel_axis];
        TRY(check_channels(s, param, channels));
        TRY(reversed ? deconvolved_lengths(s, &w, lengths) : convolved_lengths(s, &w, lengths));
        if (w.n_spatial + 2 > SHAPE_MAX_AXES)
            return shape_error(s, "more than %d axes", SHAPE_MAX_AXES);
        dims[0] = reversed ? channels : (int64_t)param->num_output;
        dims[1] = (reversed ? (int64_t)param->num_output : channels) / param->group;
        for (int i = 0; i < w.n_spatial; i++)
            dims[2 + i] = w.kernel[i];
        weights = shape_of(w.n_spatial + 2, dims);
    }
    declare_param(s, weights, param->weight_filler);
    if (param->bias_term)
        declare_param(s, shape_vector(param->num_output), param->bias_filler);
    if (!bottoms_known(s))
        return OK;
    for (int i = 0; i < bottom->n_axes; i++)
        dims[i] = i < w.channel_axis    ? bottom->dim[i]
                  : i == w.channel_axis ? (int64_t)param->num_output
                                        : lengths[i - w.channel_axis - 1];
    for (int i = 0; i < s->n_tops; i++)
        TRY(set_top(s, i, bottom->n_axes, dims));
    /* Each weight meets each place of the smaller side once. */
    const struct shape *places = reversed ? bottom : &s->tops[0];
    int64_t n_places = shape_count_range(places, 0, w.channel_axis);
    if (__builtin_mul_overflow(n_places, shape_count_range(places, w.channel_axis + 1, places->n_axes),
                               &n_places) ||
        __builtin_mul_overflow(n_places, shape_count(&weights), &s->operations) ||
        __builtin_mul_overflow(s->operations, 2 * s->n_tops, &s->operations))
        s->operations = 0;
    return OK;
}

enum status shape_convolution(struct shaping *s)
{
    return shape_convolutions(s, false);
}

enum status shape_deconvolution(struct shaping *s)
{
    return shape_convolutions(s, true);
}

/* bottom (N..., C, spatial...), top (N..., C * kernel..., spatial...) */
enum status shape_im2col(struct shaping *s)
{
    static const Caffe__ConvolutionParameter none = CAFFE__CONVOLUTION_PARAMETER__INIT;
    const Caffe__ConvolutionParameter *param =
        s->param->convolution_param ? s->param->convolution_param : &none;
    if (!bottoms_known(s))
        return OK;
    struct window w;
    char text[BOTTOM_TEXT_MAX];
    int64_t lengths[SHAPE_MAX_AXES], dims[SHAPE_MAX_AXES];
    TRY(read_window(s, param, &w));
    if (w.n_spatial < 1)
        return shape_error(s, "%s has no spatial axis after axis %d", bottom_text(s, 0, text),
                           w.channel_axis);
    TRY(convolved_lengths(s, &w, lengths));
    for (int i = 0; i < s->bottoms[0]->n_axes; i++)
        dims[i] = i <= w.channel_axis ? s->bottoms[0]->dim[i] : lengths[i - w.channel_axis - 1];
    for (int i = 0; i < w.n_spatial; i++) {
        if (__builtin_mul_overflow(dims[w.channel_axis], w.kernel[i], &dims[w.channel_axis]))
            return shape_error(s, "the kernel is too large");
    }
    return set_top(s, 0, s->bottoms[0]->n_axes, dims);
}

int64_t pooled_length(int64_t in, int64_t kernel, int64_t stride, int64_t pad, bool round_up, bool clip)
{
    int64_t room = in + 2 * pad - kernel, length;
    if (round_up)
        length = (room > 0 ? (room + stride - 1) / stride : room / stride) + 1;
    else
        length = (room < 0 ? -((-room + stride - 1) / stride) : room / stride) + 1;
    /* The last window must start in the image, not in the padding past it. */
    if (clip && (length - 1) * stride >= in + pad)
        length--;
    return length;
}

struct pool_window {
    int64_t kernel[2], stride[2], pad[2]; /* height, width */
};

static enum status read_pool_window(struct shaping *s, const Caffe__PoolingParameter *param,
                                    struct pool_window *w)
{
    bool has_pair = param->has_kernel_h && param->has_kernel_w;
    bool has_any = param->has_kernel_size || param->has_kernel_h || param->has_kernel_w;
    if (param->global_pooling && has_any)
        return shape_error(s, "global_pooling takes the kernel from the image: leave out kernel_size");
    if (!param->global_pooling && param->has_kernel_size == has_pair)
        return shape_error(s, "give kernel_size, or kernel_h and kernel_w, and not both");
    if ((param->has_pad_h != param->has_pad_w) || (param->has_pad && param->has_pad_h))
        return shape_error(s, "give pad, or pad_h and pad_w, and not both");
    if ((param->has_stride_h != param->has_stride_w) || (param->has_stride && param->has_stride_h))
        return shape_error(s, "give stride, or stride_h and stride_w, and not both");
    *w = (struct pool_window){
        .kernel = {param->has_kernel_size ? param->kernel_size : param->kernel_h,
                   param->has_kernel_size ? param->kernel_size : param->kernel_w},
        .stride = {param->has_stride_h ? param->stride_h : param->stride,
                   param->has_stride_h ? param->stride_w : param->stride},
        .pad = {param->has_pad_h ? param->pad_h : param->pad, param->has_pad_h ? param->pad_w : param->pad},
    };
    for (int i = 0; i < 2; i++) {
        if (param->global_pooling && (w->pad[i] != 0 || w->stride[i] != 1))
            return shape_error(s, "global_pooling takes pad 0 and stride 1 only");
        if ((!w->kernel[i] && !param->global_pooling) || !w->stride[i] || w->kernel[i] > INT_MAX ||
            w->stride[i] > INT_MAX)
            return shape_error(s, "kernel and stride must be between 1 and 2147483647");
        if (w->pad[i] && w->pad[i] >= w->kernel[i])
            return shape_error(s, "pad %lld must be less than kernel %lld", (long long)w->pad[i],
                               (long long)w->kernel[i]);
        if (w->pad[i] && param->pool == CAFFE__POOLING_PARAMETER__POOL_METHOD__STOCHASTIC)
            return shape_error(s, "stochastic pooling takes no pad");
    }
    return OK;
}

/*
 * bottom (N, C, H, W), tops (N, C, Ho, Wo)
 *
 *   Ho = ceil((H + 2*pad - kernel) / stride) + 1
 *
 * Caffe rounds up unless round_mode says FLOOR: CIFAR-10's pool1 makes 32
 * into 16, not 15.  A kernel larger than the image is cut where it leaves it.
 */
enum status shape_pooling(struct shaping *s)
{
    static const Caffe__PoolingParameter none = CAFFE__POOLING_PARAMETER__INIT;
    const Caffe__PoolingParameter *param = s->param->pooling_param ? s->param->pooling_param : &none;
    struct pool_window w;
    if (s->n_tops > 1 && param->pool != CAFFE__POOLING_PARAMETER__POOL_METHOD__MAX)
        return shape_error(s, "only MAX pooling has a second top, the places of the maxima");
    TRY(read_pool_window(s, param, &w));
    if (!bottoms_known(s))
        return OK;
    TRY(check_n_axes(s, 0, 4));
    char text[BOTTOM_TEXT_MAX];
    struct shape top = *s->bottoms[0];
    bool clip = w.pad[0] || w.pad[1];
    bool round_up = param->round_mode == CAFFE__POOLING_PARAMETER__ROUND_MODE__CEIL;
    for (int i = 0; i < 2; i++) {
        int in = top.dim[2 + i];
        int64_t kernel = param->global_pooling ? in : w.kernel[i];
        int64_t length = pooled_length(in, kernel, w.stride[i], w.pad[i], round_up, clip);
        if (length < 1 || in < 1)
            return shape_error(s, "kernel of %lld does not fit length %d padded by %lld: %s",
                               (long long)kernel, in, (long long)w.pad[i], bottom_text(s, 0, text));
        if (length > INT_MAX || (clip && (length - 1) * w.stride[i] >= in + w.pad[i]))
            return shape_error(s, "windows of kernel %lld, stride %lld and pad %lld start past the image: %s",
                               (long long)kernel, (long long)w.stride[i], (long long)w.pad[i],
                               bottom_text(s, 0, text));
        top.dim[2 + i] = (int)length;
    }
    for (int i = 0; i < s->n_tops; i++)
        s->tops[i] = top;
    return OK;
}

/*
 * bottom (N, C, H, W); a pyramid of one level is a pooling of (N, C, 1, 1),
 * else top (N, C * places of all levels), 2^level bins a side at each.  A
 * bin is ceil(length / bins) long; what is lacking is padded, half on each side.
 */
enum status shape_spp(struct shaping *s)
{
    const Caffe__SPPParameter *param = s->param->spp_param;
    if (!param || param->pyramid_height < 1 || param->pyramid_height > 30)
        return shape_error(s, "pyramid_height must be between 1 and 30");
    if (!bottoms_known(s))
        return OK;
    TRY(check_n_axes(s, 0, 4));
    const struct shape *bottom = s->bottoms[0];
    char text[BOTTOM_TEXT_MAX];
    int64_t places = 0, length[2];
    for (unsigned level = 0; level < param->pyramid_height; level++) {
        int64_t bins = (int64_t)1 << level, kernel[2], pad[2];
        for (int i = 0; i < 2; i++) {
            kernel[i] = (bottom->dim[2 + i] + bins - 1) / bins;
            pad[i] = (kernel[i] * bins - bottom->dim[2 + i] + 1) / 2;
        }
        bool padded = pad[0] || pad[1];
        for (int i = 0; i < 2; i++) {
            if (kernel[i] < 1 || pad[i] >= kernel[i])
                return shape_error(s, "a pyramid of %u levels is too high for %s", param->pyramid_height,
                                   bottom_text(s, 0, text));
            length[i] = pooled_length(bottom->dim[2 + i], kernel[i], kernel[i], pad[i], true, padded);
        }
        places += length[0] * length[1];
    }
    if (param->pyramid_height == 1)
        return set_top(s, 0, 4, (int64_t[]){bottom->dim[0], bottom->dim[1], length[0], length[1]});
    return set_top(s, 0, 2, (int64_t[]){bottom->dim[0], places > INT_MAX ? places : bottom->dim[1] * places});
}
