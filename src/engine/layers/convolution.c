/*
 * convolution.c - Convolution and its transpose, Deconvolution: bottoms
 * (N,C,...), weights (O,C/group,k...) or, transposed, (C,O/group,k...), bias
 * (O), tops (N,O,...); several bottoms share the weights.  oneDNN does up to
 * 3 spatial axes, plain loops any further; convolution_winograd.h and
 * convolution_gradient.h say what is faster by our own kernels.
 *
 * Layouts, by measurement: with avx512 blocks of 16 channels where the channels
 * are multiples of 16, channels last where not, a plain image into the first
 * layer; without avx512 channels last.  A candidate is refused when oneDNN has
 * only reference code for one of its directions, and matrix multiplication is a
 * last resort.  The master weights lie as the weights' gradient is written.
 *
 * For predictions the changes of each channel that follow (BatchNorm, Scale)
 * are done here: to the weights themselves where the kernel needs a copy of
 * them anyway (Winograd's), else to each output as it is written.
 */
#include <string.h>

#include "engine/elementwise.h"
#include "engine/layers/convolution_gradient.h"
#include "engine/layers/convolution_plain.h"
#include "engine/layers/convolution_winograd.h"
#include "engine/param_layout.h"
#include "engine/precision.h"

struct convolution {
    int n_spatial, group;
    bool transposed;         /* Deconvolution */
    bool has_bias, own_axes; /* own_axes: the blob's axes are (N,C,spatial) */
    dnnl_dim_t n, in, out;
    dnnl_dims_t size, out_size, kernel, stride, pad, dilation; /* dilation as oneDNN counts: from 0 */
    bool wants_data, wants_weights, wants_bias;
    dnnl_data_type_t type, top_type; /* of the numbers that are read, gradients included, and written */
    bool is_direct;                  /* not Winograd's algorithm */
    int slices; /* the batch in equal parts, one after the other: Winograd's scratch memory is large */
    size_t src_slice, dst_slice; /* floats of a slice */
    const struct layer *taken[PLAN_MAX_TAKEN];
    int n_taken;
    bool takes_relu;
    float *factor, *add;    /* of the taken layers, for each output channel */
    uint64_t taken_version; /* of all that went into them */
    struct scaled_weights scaled;
    struct kernel forward, backward_data, backward_weights;
    struct weights_copy forward_weights, data_weights;
    struct weights_gradient weights_diff, bias_diff;
    bool is_plain, is_winograd, is_own_gradient; /* own: of the weights */
    struct convolution_plain plain;
    struct convolution_gradient own_gradient;
    struct convolution_winograd winograd;
};

extern const struct layer_ops layer_deconvolution;

/* ---- settings ---- */

static void spread(size_t n, const uint32_t *given, int n_axes, uint32_t otherwise, dnnl_dims_t ret)
{
    for (int i = 0; i < n_axes; i++)
        ret[i] = n == 0 ? otherwise : given[n == 1 ? 0 : i];
}

static void read_geometry(struct convolution *s, const Caffe__ConvolutionParameter *p)
{
    spread(p->n_stride, p->stride, s->n_spatial, 1, s->stride);
    spread(p->n_pad, p->pad, s->n_spatial, 0, s->pad);
    spread(p->n_dilation, p->dilation, s->n_spatial, 1, s->dilation);
    if (p->has_stride_h || p->has_stride_w) {
        s->stride[0] = p->stride_h;
        s->stride[1] = p->stride_w;
    }
    if (p->has_pad_h || p->has_pad_w) {
        s->pad[0] = p->pad_h;
        s->pad[1] = p->pad_w;
    }
    for (int i = 0; i < s->n_spatial; i++)
        s->dilation[i]--;
}

static enum status convolution_setup(struct layer *l, struct error *err)
{
    (void)err;
    struct convolution *s = l->state;
    const Caffe__ConvolutionParameter *p = l->def->param->convolution_param;
    const struct shape *bottom = &l->bottoms[0].shape, *top = &l->tops[0].shape;
    int axis = shape_axis(bottom, p->axis);
    s->transposed = l->ops == &layer_deconvolution;
    s->n_spatial = bottom->n_axes - axis - 1;
    s->is_plain = s->n_spatial > 3;
    s->own_axes = axis == 1 && s->n_spatial > 0;
    s->group = (int)p->group;
    s->has_bias = p->bias_term;
    s->type = s->top_type = dnnl_f32;
    s->n = shape_count_range(bottom, 0, axis);
    s->in = bottom->dim[axis];
    s->out = top->dim[axis];
    read_geometry(s, p);
    const struct shape *weights = &l->params[0]->def->shape;
    for (int i = 0; i < s->n_spatial; i++) {
        s->size[i] = bottom->dim[axis + 1 + i];
        s->out_size[i] = top->dim[axis + 1 + i];
        s->kernel[i] = weights->dim[2 + i];
    }
    if (s->n_spatial == 0) {
        s->n_spatial = 1;
        s->size[0] = s->out_size[0] = s->kernel[0] = s->stride[0] = 1;
    }
    return OK;
}

/* ---- choosing a layout ---- */

struct candidate {
    dnnl_format_tag_t src, dst;
    dnnl_alg_kind_t algorithm;
    int slices;
};

/* What follows each output; Winograd's kernels take the ReLU only. */
struct after {
    dnnl_post_ops_t all, relu;
};

struct choice {
    dnnl_primitive_desc_t forward, data, weights;
    dnnl_memory_desc_t src, dst, diff_dst;
};

static void choice_release(struct choice *c)
{
    pd_freep(&c->forward);
    pd_freep(&c->data);
    pd_freep(&c->weights);
    *c = (struct choice){0};
}

/* Of one slice of the batch. */
static dnnl_memory_desc_t blob_desc(const struct convolution *s, bool is_top, dnnl_format_tag_t tag,
                                    dnnl_data_type_t type, int slices)
{
    dnnl_dims_t dims = {s->n / slices, is_top ? s->out : s->in};
    memcpy(dims + 2, is_top ? s->out_size : s->size, (size_t)s->n_spatial * sizeof(dims[0]));
    dnnl_memory_desc_t desc;
    dnnl_memory_desc_init_by_tag(&desc, 2 + s->n_spatial, dims, type, tag);
    return desc;
}

/* Weights as oneDNN counts their axes: (O,I,k...) or (group,O,I,k...). */
static struct shape weights_shape(const struct convolution *s)
{
    struct shape shape = {0};
    if (s->group > 1)
        shape.dim[shape.n_axes++] = s->group;
    shape.dim[shape.n_axes++] = (int)(s->out / s->group);
    shape.dim[shape.n_axes++] = (int)(s->in / s->group);
    for (int i = 0; i < s->n_spatial; i++)
        shape.dim[shape.n_axes++] = (int)s->kernel[i];
    return shape;
}

/* Caffe's order of the same axes: the plain one, with I before O when transposed. */
static dnnl_memory_desc_t weights_plain(const struct convolution *s)
{
    struct shape shape = weights_shape(s);
    dnnl_memory_desc_t desc;
    desc_plain(&shape, &desc);
    if (!s->transposed)
        return desc;
    int out = s->group > 1 ? 1 : 0, in = out + 1;
    dnnl_dims_t strides = {0};
    memcpy(strides, desc.format_desc.blocking.strides, sizeof(strides));
    strides[out] = desc.format_desc.blocking.strides[in];
    strides[in] = strides[out] * desc.dims[out];
    dnnl_memory_desc_init_by_strides(&desc, desc.ndims, desc.dims, dnnl_f32, strides);
    return desc;
}

static dnnl_memory_desc_t bias_desc(const struct convolution *s)
{
    dnnl_memory_desc_t desc;
    dnnl_memory_desc_init_by_tag(&desc, 1, (dnnl_dims_t){s->out}, dnnl_f32, dnnl_a);
    return desc;
}

/* As the kernel likes them. */
static dnnl_memory_desc_t weights_any(const struct convolution *s)
{
    struct shape shape = weights_shape(s);
    dnnl_memory_desc_t desc;
    desc_by_tag(&shape, dnnl_format_tag_any, &desc);
    return desc;
}

/* How an operation is described; both kinds have the same descriptor. */
struct describe {
    dnnl_status_t (*forward)(dnnl_convolution_desc_t *, dnnl_prop_kind_t, dnnl_alg_kind_t,
                             const dnnl_memory_desc_t *, const dnnl_memory_desc_t *,
                             const dnnl_memory_desc_t *, const dnnl_memory_desc_t *, const dnnl_dims_t,
                             const dnnl_dims_t, const dnnl_dims_t, const dnnl_dims_t);
    dnnl_status_t (*weights)(dnnl_convolution_desc_t *, dnnl_alg_kind_t, const dnnl_memory_desc_t *,
                             const dnnl_memory_desc_t *, const dnnl_memory_desc_t *,
                             const dnnl_memory_desc_t *, const dnnl_dims_t, const dnnl_dims_t,
                             const dnnl_dims_t, const dnnl_dims_t);
    dnnl_status_t (*data)(dnnl_convolution_desc_t *, dnnl_alg_kind_t, const dnnl_memory_desc_t *,
                          const dnnl_memory_desc_t *, const dnnl_memory_desc_t *, const dnnl_dims_t,
                          const dnnl_dims_t, const dnnl_dims_t, const dnnl_dims_t);
};

static const struct describe describe_convolution = {
    dnnl_dilated_convolution_forward_desc_init,
    dnnl_dilated_convolution_backward_weights_desc_init,
    dnnl_dilated_convolution_backward_data_desc_init,
};

static const struct describe describe_deconvolution = {
    dnnl_dilated_deconvolution_forward_desc_init,
    dnnl_dilated_deconvolution_backward_weights_desc_init,
    dnnl_dilated_deconvolution_backward_data_desc_init,
};

static bool is_winograd(const struct candidate *candidate)
{
    return candidate->algorithm == dnnl_convolution_winograd;
}

static bool try_candidate(const struct convolution *s, const struct candidate *candidate, bool is_training,
                          const struct after *after, struct choice *c)
{
    const_dnnl_post_ops_t post_ops = is_winograd(candidate) ? after->relu : after->all;
    bool has_bias = s->has_bias || (s->n_taken && is_winograd(candidate));
    const struct describe *describe = s->transposed ? &describe_deconvolution : &describe_convolution;
    dnnl_memory_desc_t gradient = weights_any(s);
    dnnl_memory_desc_t bias = bias_desc(s);
    dnnl_memory_desc_t weights = desc_of_type(&gradient, s->type);
    dnnl_prop_kind_t kind = is_training ? dnnl_forward_training : dnnl_forward_inference;
    dnnl_convolution_desc_t op;
    c->src = blob_desc(s, false, candidate->src, s->type, candidate->slices);
    c->dst = blob_desc(s, true, candidate->dst, s->top_type, candidate->slices);
    c->diff_dst = blob_desc(s, true, candidate->dst, s->type, candidate->slices);
    if (describe->forward(&op, kind, candidate->algorithm, &c->src, &weights, has_bias ? &bias : NULL,
                          &c->dst, s->stride, s->dilation, s->pad, s->pad) == dnnl_success)
        c->forward = pd_make(&op, post_ops, NULL);
    if (!c->forward)
        return false;
    bool wants_gradient = s->wants_weights || s->wants_bias;
    if (wants_gradient &&
        describe->weights(&op, candidate->algorithm, &c->src, &gradient, s->wants_bias ? &bias : NULL,
                          &c->diff_dst, s->stride, s->dilation, s->pad, s->pad) == dnnl_success)
        c->weights = pd_make(&op, NULL, c->forward);
    if (s->wants_data && describe->data(&op, candidate->algorithm, &c->src, &weights, &c->diff_dst, s->stride,
                                        s->dilation, s->pad, s->pad) == dnnl_success)
        c->data = pd_make(&op, NULL, c->forward);
    return (!wants_gradient || c->weights) && (!s->wants_data || c->data);
}

static bool any_of(const struct choice *c, bool (*is)(const_dnnl_primitive_desc_t))
{
    return is(c->forward) || (c->data && is(c->data)) || (c->weights && is(c->weights));
}

/* oneDNN's Winograd's algorithm works on tiles of 4 x 4 outputs, with 36 products. */
static double winograd_tiles(const struct convolution *s)
{
    enum { TILE = 4 };
    return (double)((s->out_size[0] + TILE - 1) / TILE * ((s->out_size[1] + TILE - 1) / TILE));
}

/*
 * Does that do it.  For the prediction of a few tiles it is not faster, and
 * its weights take four times the memory.  It knows no groups, and only avx512.
 */
static bool suits_winograd(const struct convolution *s, bool is_training)
{
    enum { TILES_MIN = 5 };
    bool suits = blocks_are_liked() && s->type == dnnl_f32 && !s->transposed && s->own_axes &&
                 s->n_spatial == 2 && s->group == 1 && s->in % 16 == 0 && s->out % 16 == 0;
    for (int i = 0; i < s->n_spatial; i++)
        suits = suits && s->kernel[i] == 3 && s->stride[i] == 1 && s->dilation[i] == 0 && s->pad[i] <= 1;
    return suits && (is_training || (double)s->n * winograd_tiles(s) >= TILES_MIN);
}

enum { SLICES_MAX = 5, CANDIDATES_MAX = SLICES_MAX + 6 };
/* Above this Winograd's algorithm takes the batch in more slices, for predictions. */
static const size_t scratch_wanted = 48 << 20;

static int list_candidates(const struct convolution *s, bool is_training, struct candidate *list)
{
    int axes = 2 + s->n_spatial, n = 0;
    dnnl_format_tag_t plain = tag_plain(axes), last = tag_nhwc(axes), blocked = tag_blocked16(axes);
    dnnl_dim_t in = s->in / s->group, out = s->out / s->group;
    bool depthwise = in == 1 && out == 1;
    dnnl_alg_kind_t direct = s->transposed ? dnnl_deconvolution_direct : dnnl_convolution_direct;
    int n_winograd = suits_winograd(s, is_training) ? (is_training ? 1 : SLICES_MAX) : 0;
    for (int slices = 1; n < n_winograd && s->n % slices == 0; slices *= 2)
        list[n++] = (struct candidate){blocked, blocked, dnnl_convolution_winograd, slices};
    if (s->own_axes) {
        if (s->in <= 3 && s->group == 1 && s->out % 16 == 0)
            list[n++] = (struct candidate){plain, blocked, direct, 1};
        if (depthwise ? s->out % 16 == 0 : in % 16 == 0 && out % 16 == 0)
            list[n++] = (struct candidate){blocked, blocked, direct, 1};
        list[n++] = (struct candidate){last, last, direct, 1};
        list[n++] = (struct candidate){blocked, blocked, direct, 1};
    }
    list[n++] = (struct candidate){plain, plain, direct, 1};
    return n;
}

static size_t scratch_bytes(const_dnnl_primitive_desc_t pd)
{
    const dnnl_memory_desc_t *scratchpad = pd_query(pd, dnnl_query_scratchpad_md);
    return scratchpad ? dnnl_memory_desc_get_size(scratchpad) : 0;
}

/* Kernels of their own only; or by matrix multiplication; or whatever there is. */
enum { PATIENCE_NONE, PATIENCE_GEMM, PATIENCE_REFERENCE };

/* The first candidate that the least patience finds. */
static bool find_candidate(struct convolution *s, bool is_training, const struct after *after,
                           int most_patience, struct choice *ret_choice)
{
    struct candidate list[CANDIDATES_MAX];
    int n = list_candidates(s, is_training, list);
    for (int patience = PATIENCE_NONE; patience <= most_patience; patience++) {
        for (int i = 0; i < n; i++) {
            struct choice c = {0};
            bool may_be_smaller = is_winograd(&list[i]) && i + 1 < n && is_winograd(&list[i + 1]);
            if (try_candidate(s, &list[i], is_training, after, &c) &&
                (patience >= PATIENCE_GEMM || !any_of(&c, pd_is_gemm)) &&
                (patience >= PATIENCE_REFERENCE || !any_of(&c, pd_is_reference)) &&
                (!may_be_smaller || scratch_bytes(c.forward) <= scratch_wanted)) {
                s->is_direct = !is_winograd(&list[i]);
                s->slices = list[i].slices;
                *ret_choice = c;
                return true;
            }
            choice_release(&c);
        }
    }
    return false;
}

/* ---- plan ---- */

/* (1,C,1,1): one value for each output channel. */
static dnnl_memory_desc_t by_channel_desc(const struct convolution *s)
{
    struct shape shape = {.n_axes = 2 + s->n_spatial, .dim = {1, (int)s->out, 1, 1, 1}};
    dnnl_memory_desc_t desc;
    desc_plain(&shape, &desc);
    return desc;
}

static enum status plan_taken(struct layer *l, struct planner *p, const dnnl_memory_desc_t *weights,
                              const dnnl_memory_desc_t *plain, struct error *err)
{
    struct convolution *s = l->state;
    return !s->n_taken || s->is_direct
               ? weights_copy_plan(&s->forward_weights, p, l->params[0], weights, plain, err)
               : scaled_weights_plan(&s->scaled, p, l->params[0], weights, plain, err);
}

/* How the weights' gradient is written. */
static dnnl_memory_desc_t gradient_desc(const struct convolution *s, const struct choice *c)
{
    dnnl_memory_desc_t plain = weights_plain(s);
    return s->is_own_gradient ? desc_outputs_last(&plain) : *pd_query(c->weights, dnnl_query_diff_weights_md);
}

static enum status plan_forward(struct layer *l, struct planner *p, const struct choice *c, struct error *err)
{
    struct convolution *s = l->state;
    dnnl_memory_desc_t plain = weights_plain(s), bias = bias_desc(s);
    dnnl_memory_desc_t weights = *pd_query(c->forward, dnnl_query_weights_md), master = weights;
    if (c->weights)
        master = gradient_desc(s, c);
    bool is_f32 = master.format_kind == dnnl_blocked && master.data_type == dnnl_f32;
    plan_param(p, 0, is_f32 ? &master : &plain, &plain);
    TRY(plan_taken(l, p, &weights, &plain, err));
    TRY(kernel_init(&s->forward, c->forward, err));
    kernel_arg(&s->forward, DNNL_ARG_SRC, &c->src);
    kernel_arg(&s->forward, DNNL_ARG_WEIGHTS, pd_query(c->forward, dnnl_query_weights_md));
    kernel_arg(&s->forward, DNNL_ARG_DST, &c->dst);
    if (s->has_bias || (s->n_taken && !s->is_direct))
        kernel_arg(&s->forward, DNNL_ARG_BIAS, &bias);
    if (s->n_taken && s->is_direct) {
        dnnl_memory_desc_t each = by_channel_desc(s);
        kernel_arg(&s->forward, DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, &each);
        kernel_arg(&s->forward, DNNL_ARG_ATTR_MULTIPLE_POST_OP(1) | DNNL_ARG_SRC_1, &each);
    }
    s->src_slice = dnnl_memory_desc_get_size(&c->src) / sizeof(float);
    s->dst_slice = dnnl_memory_desc_get_size(&c->dst) / sizeof(float);
    plan_scratch(p, s->forward.scratch_bytes);
    if (!c->data)
        return OK;
    dnnl_memory_desc_t data_weights = *pd_query(c->data, dnnl_query_weights_md);
    TRY(weights_copy_plan(&s->data_weights, p, l->params[0], &data_weights, &plain, err));
    TRY(kernel_init(&s->backward_data, c->data, err));
    kernel_arg(&s->backward_data, DNNL_ARG_DIFF_DST, &c->diff_dst);
    kernel_arg(&s->backward_data, DNNL_ARG_WEIGHTS, pd_query(c->data, dnnl_query_weights_md));
    kernel_arg(&s->backward_data, DNNL_ARG_DIFF_SRC, &c->src);
    plan_scratch(p, s->backward_data.scratch_bytes);
    return OK;
}

static enum status plan_weights_gradient(struct layer *l, struct planner *p, const struct choice *c,
                                         struct error *err)
{
    struct convolution *s = l->state;
    if (!c->weights)
        return OK;
    dnnl_memory_desc_t written = gradient_desc(s, c), plain = weights_plain(s), bias = bias_desc(s);
    TRY(weights_gradient_plan(&s->weights_diff, p, l->params[0], &written, &plain, err));
    if (s->wants_bias)
        TRY(weights_gradient_plan(&s->bias_diff, p, l->params[1], &bias, &bias, err));
    if (s->is_own_gradient) {
        convolution_gradient_plan(&s->own_gradient, p);
        return OK;
    }
    TRY(kernel_init(&s->backward_weights, c->weights, err));
    kernel_arg(&s->backward_weights, DNNL_ARG_SRC, &c->src);
    kernel_arg(&s->backward_weights, DNNL_ARG_DIFF_DST, &c->diff_dst);
    kernel_arg(&s->backward_weights, DNNL_ARG_DIFF_WEIGHTS, pd_query(c->weights, dnnl_query_diff_weights_md));
    if (s->wants_bias)
        kernel_arg(&s->backward_weights, DNNL_ARG_DIFF_BIAS, &bias);
    plan_scratch(p, s->backward_weights.scratch_bytes);
    return OK;
}

static void choose_wants(struct layer *l, struct planner *p)
{
    struct convolution *s = l->state;
    bool is_training = plan_is_training(p);
    s->wants_weights = l->param_propagate_down[0];
    s->wants_bias = s->has_bias && l->param_propagate_down[1];
    for (int i = 0; is_training && i < l->n_bottoms; i++)
        s->wants_data = s->wants_data || plan_wants_bottom_diff(p, i);
    plan_backward_needs(p, s->wants_weights || s->wants_bias ? NEEDS_BOTTOM_DATA : 0);
}

/*
 * Where oneDNN 2.6.3 was found to compute rightly in bf16, trying shapes by
 * chance.  Wrong were some gradients over one or three axes, with dilation,
 * with stride and padding at a single column, and of 1x1 kernels with odd
 * numbers of channels.
 */
static bool is_right_in_bf16(const struct convolution *s)
{
    if (s->n_spatial != 2 || s->dilation[0] > 0 || s->dilation[1] > 0)
        return false;
    if (s->kernel[0] * s->kernel[1] == 1)
        return s->in / s->group % 16 == 0 && s->out / s->group % 16 == 0;
    bool is_square = s->kernel[0] == s->kernel[1] && s->stride[0] == s->stride[1] && s->pad[0] == s->pad[1];
    bool strides_over_padding = MAX(s->stride[0], s->stride[1]) > 1 && MAX(s->pad[0], s->pad[1]) > 0;
    const dnnl_dim_t *places = s->transposed ? s->size : s->out_size;
    return !strides_over_padding || (is_square && places[1] > 1);
}

/* Of all tops: bf16 when it is wanted of one of them. */
static dnnl_data_type_t top_type_of(const struct layer *l, const struct planner *p)
{
    for (int i = 0; i < l->n_tops; i++)
        if (plan_top_type(p, i) == dnnl_bf16)
            return dnnl_bf16;
    return dnnl_f32;
}

/* In bf16 where that is wanted and oneDNN has more than reference code for it. */
static enum status choose(struct layer *l, struct planner *p, const struct after *after,
                          struct choice *ret_choice, struct error *err)
{
    struct convolution *s = l->state;
    bool is_training = plan_is_training(p);
    if (plan_is_bf16(p) && s->own_axes && is_right_in_bf16(s)) {
        s->type = dnnl_bf16;
        s->top_type = top_type_of(l, p);
        if (find_candidate(s, is_training, after, PATIENCE_GEMM, ret_choice))
            return OK;
    }
    s->type = s->top_type = dnnl_f32;
    if (find_candidate(s, is_training, after, PATIENCE_REFERENCE, ret_choice))
        return OK;
    return error_set(err, UNSUPPORTED, "oneDNN has no convolution for this shape");
}

static void after_release(struct after *a)
{
    dnnl_post_ops_destroy(a->all);
    dnnl_post_ops_destroy(a->relu);
}

/* What this layer takes over of those that follow. */
static void take_over(struct convolution *s, struct planner *p)
{
    size_t bytes = ((size_t)s->out + 16) * sizeof(float);
    if (s->transposed)
        return;
    s->n_taken = s->own_axes ? plan_take_changes(p, s->taken) : 0;
    if (s->n_taken) {
        s->factor = plan_keep(p, bytes);
        s->add = plan_keep(p, bytes);
    }
    s->takes_relu = plan_take_relu(p);
}

static struct after after_of(const struct convolution *s)
{
    struct after after = {0};
    dnnl_post_ops_create(&after.all);
    dnnl_post_ops_create(&after.relu);
    if (s->n_taken) {
        dnnl_memory_desc_t each = by_channel_desc(s);
        dnnl_post_ops_append_binary(after.all, dnnl_binary_mul, &each);
        dnnl_post_ops_append_binary(after.all, dnnl_binary_add, &each);
    }
    if (s->takes_relu) {
        dnnl_post_ops_append_eltwise(after.all, 1, dnnl_eltwise_relu, 0, 0);
        dnnl_post_ops_append_eltwise(after.relu, 1, dnnl_eltwise_relu, 0, 0);
    }
    return after;
}

/* The layout of c, of the whole batch. */
static dnnl_memory_desc_t whole_desc(const struct convolution *s, bool is_top,
                                     const dnnl_memory_desc_t *slice)
{
    if (s->slices == 1)
        return *slice;
    return blob_desc(s, is_top, tag_blocked16(2 + s->n_spatial), slice->data_type, 1);
}

/*
 * Is our own Winograd's algorithm the fastest; measured.  Its products take
 * longer than as many of the direct way.  oneDNN's has more of them, but its
 * kernels take half the memory, which counts in predictions.  Ours computes in
 * f32: a direct kernel in bf16 takes half the time, one for AMX a sixteenth.
 */
static bool is_own_winograd_fastest(const struct convolution *s, const struct planner *p,
                                    const struct convolution_winograd_params *params)
{
    bool is_training = plan_is_training(p);
    dnnl_dim_t products = convolution_winograd_products(params);
    dnnl_dim_t directly = s->kernel[0] * s->kernel[1] * s->out_size[0] * s->out_size[1];
    if (plan_is_bf16(p))
        return !precision_has_amx() && (is_training || s->kernel[0] > 3) && 4 * products <= directly;
    if (suits_winograd(s, is_training))
        return is_training && (double)products <= 0.85 * 36 * winograd_tiles(s);
    return 2 * products <= directly;
}

/* Is it done by our own Winograd's algorithm; then the params are set. */
static bool suits_own_winograd(const struct layer *l, const struct planner *p,
                               struct convolution_winograd_params *params)
{
    const struct convolution *s = l->state;
    *params = (struct convolution_winograd_params){
        .n = s->n,
        .in = s->in,
        .out = s->out,
        .group = s->group,
        .kernel = s->kernel[0],
        .size = {s->size[0], s->size[1]},
        .out_size = {s->out_size[0], s->out_size[1]},
        .pad = {s->pad[0], s->pad[1]},
        .wants_data = s->wants_data,
        .wants_weights = s->wants_weights,
        .wants_bias = s->wants_bias,
        .is_bf16 = plan_is_bf16(p),
        .top_is_bf16 = plan_is_bf16(p) && top_type_of(l, p) == dnnl_bf16,
    };
    bool suits = !s->transposed && s->own_axes && s->n_spatial == 2;
    for (int i = 0; suits && i < 2; i++)
        suits = s->kernel[i] == s->kernel[0] && s->stride[i] == 1 && s->dilation[i] == 0;
    return suits && convolution_winograd_suits(params) && is_own_winograd_fastest(s, p, params);
}

/* It also does the ReLU behind it, both ways. */
static enum status plan_own_winograd(struct layer *l, struct planner *p,
                                     struct convolution_winograd_params *params, struct error *err)
{
    struct convolution *s = l->state;
    dnnl_memory_desc_t plain = weights_plain(s);
    params->relu = s->takes_relu || plan_take_relu_both_ways(p);
    bool needs_bottom = s->wants_weights || s->wants_bias;
    plan_backward_needs(p, (needs_bottom ? NEEDS_BOTTOM_DATA : 0) | (params->relu ? NEEDS_TOP_DATA : 0));
    plan_backward_mixes(p);
    return convolution_winograd_plan(&s->winograd, params, l, p, &plain, err);
}

/* Is the gradient of the weights computed by loops of our own; then these are described. */
static bool suits_own_gradient(struct convolution *s, const struct choice *c)
{
    bool suits = c->weights && s->wants_weights && s->type == dnnl_f32 && !s->transposed && s->own_axes &&
                 s->n_spatial == 2 && s->group == 1 && desc_is_nhwc(&c->src) && desc_is_nhwc(&c->diff_dst) &&
                 convolution_gradient_suits(s->in);
    s->own_gradient =
        (struct convolution_gradient){.n = (size_t)s->n, .in = (size_t)s->in, .out = (size_t)s->out};
    for (int i = 0; suits && i < 2; i++) {
        suits = s->dilation[i] == 0;
        s->own_gradient.size[i] = (size_t)s->size[i];
        s->own_gradient.out_size[i] = (size_t)s->out_size[i];
        s->own_gradient.kernel[i] = (size_t)s->kernel[i];
        s->own_gradient.stride[i] = (size_t)s->stride[i];
        s->own_gradient.pad[i] = (size_t)s->pad[i];
    }
    return suits;
}

static enum status convolution_plan(struct layer *l, struct planner *p, struct error *err)
{
    struct convolution *s = l->state;
    choose_wants(l, p);
    if (s->is_plain) {
        convolution_plain_plan(&s->plain, l, p, s->transposed);
        return OK;
    }
    take_over(s, p);
    struct convolution_winograd_params params;
    s->is_winograd = suits_own_winograd(l, p, &params);
    if (s->is_winograd)
        return plan_own_winograd(l, p, &params, err);
    CLEANUP(after_release) struct after after = after_of(s);
    CLEANUP(choice_release) struct choice c = {0};
    TRY(choose(l, p, &after, &c, err));
    s->is_own_gradient = suits_own_gradient(s, &c);
    TRY(plan_forward(l, p, &c, err));
    TRY(plan_weights_gradient(l, p, &c, err));
    dnnl_memory_desc_t src = whole_desc(s, false, &c.src), dst = whole_desc(s, true, &c.dst);
    dnnl_memory_desc_t diff_dst = whole_desc(s, true, &c.diff_dst);
    for (int i = 0; s->own_axes && i < l->n_bottoms; i++) {
        plan_bottom(p, i, &src);
        plan_top(p, i, &dst);
        plan_top_diff(p, i, &diff_dst);
    }
    return OK;
}

/* ---- running ---- */

static uint64_t params_version(const struct layer *l)
{
    uint64_t sum = 0;
    for (int i = 0; i < l->n_params; i++)
        sum += l->params[i]->version;
    return sum;
}

/* The changes that were taken over, renewed when a parameter changed. */
static void renew_taken(struct layer *l)
{
    struct convolution *s = l->state;
    uint64_t version = params_version(l);
    for (int i = 0; i < s->n_taken; i++)
        version += params_version(s->taken[i]);
    if (version == s->taken_version)
        return;
    s->taken_version = version;
    bool into_weights = s->is_winograd || !s->is_direct;
    for (dnnl_dim_t c = 0; c < s->out; c++) {
        s->factor[c] = 1;
        s->add[c] = into_weights && s->has_bias ? l->params[1]->data[c] : 0;
    }
    for (int i = 0; i < s->n_taken; i++)
        s->taken[i]->ops->fold(s->taken[i], s->factor, s->add);
    if (s->is_winograd)
        convolution_winograd_renew(&s->winograd, l, s->factor);
    else if (into_weights)
        scaled_weights_renew(&s->scaled, l->params[0], s->factor, (size_t)s->out, l->scratch);
}

static void forward_bottom(const struct layer *l, int i, const float *weights, const float *bias)
{
    struct convolution *s = l->state;
    /* Arguments in the order in which plan_forward named them. */
    const float *more[3] = {bias, s->factor, s->add};
    if (!bias)
        memmove(more, more + 1, 2 * sizeof(more[0]));
    for (int slice = 0; slice < s->slices; slice++)
        KERNEL_RUN(&s->forward, l->scratch, l->bottoms[i].data + (size_t)slice * s->src_slice, weights,
                   l->tops[i].data + (size_t)slice * s->dst_slice, more[0], more[1], more[2]);
}

static enum status convolution_forward(struct layer *l, struct error *err)
{
    (void)err;
    struct convolution *s = l->state;
    if (s->is_plain) {
        convolution_plain_forward(&s->plain, l);
        return OK;
    }
    const float *bias = s->has_bias ? l->params[1]->data : NULL, *weights;
    if (s->n_taken)
        renew_taken(l);
    if (s->is_winograd) {
        convolution_winograd_forward(&s->winograd, l, s->n_taken ? s->add : bias);
        return OK;
    }
    if (s->n_taken && !s->is_direct) {
        weights = s->scaled.copy;
        bias = s->add;
    } else {
        weights = weights_copy_get(&s->forward_weights, l->params[0], l->scratch);
    }
    for (int i = 0; i < l->n_bottoms; i++)
        forward_bottom(l, i, weights, bias);
    return OK;
}

static void add_weights_gradient(struct layer *l, int i)
{
    struct convolution *s = l->state;
    if (!s->wants_weights && !s->wants_bias)
        return;
    float *weights =
        s->wants_weights ? weights_gradient_target(&s->weights_diff, l->params[0]) : s->weights_diff.own;
    float *bias = s->wants_bias ? weights_gradient_target(&s->bias_diff, l->params[1]) : NULL;
    /* oneDNN 2.6.3's bf16 kernel takes for padding what it finds in the scratchpad. */
    if (s->type == dnnl_bf16)
        memset(l->scratch, 0, s->backward_weights.scratch_bytes);
    if (s->is_own_gradient)
        convolution_gradient_run(&s->own_gradient, l->scratch, l->bottoms[i].data, l->tops[i].diff, weights,
                                 bias);
    else
        KERNEL_RUN(&s->backward_weights, l->scratch, l->bottoms[i].data, l->tops[i].diff, weights, bias);
    if (s->wants_weights)
        weights_gradient_done(&s->weights_diff, l->params[0], l->scratch);
    if (s->wants_bias)
        weights_gradient_done(&s->bias_diff, l->params[1], l->scratch);
}

static void convolution_backward(struct layer *l)
{
    struct convolution *s = l->state;
    if (s->is_plain) {
        convolution_plain_backward(&s->plain, l);
        return;
    }
    if (s->is_winograd) {
        convolution_winograd_backward(&s->winograd, l);
        return;
    }
    for (int i = 0; i < l->n_bottoms; i++)
        add_weights_gradient(l, i);
    for (int i = 0; i < l->n_bottoms; i++) {
        if (!l->bottoms[i].diff)
            continue;
        const float *weights = weights_copy_get(&s->data_weights, l->params[0], l->scratch);
        KERNEL_RUN(&s->backward_data, l->scratch, l->tops[i].diff, weights, l->bottoms[i].diff);
    }
}

static void convolution_release(struct layer *l)
{
    struct convolution *s = l->state;
    convolution_winograd_release(&s->winograd);
    kernel_release(&s->forward);
    kernel_release(&s->backward_data);
    kernel_release(&s->backward_weights);
    weights_copy_release(&s->forward_weights);
    weights_copy_release(&s->data_weights);
    scaled_weights_release(&s->scaled);
    weights_gradient_release(&s->weights_diff);
    weights_gradient_release(&s->bias_diff);
}

#define CONVOLUTION(name)                                                                                    \
    {                                                                                                        \
        .type = name, .state_size = sizeof(struct convolution), .reads_bottoms_first = true, .bf16 = true,   \
        .setup = convolution_setup, .plan = convolution_plan, .forward = convolution_forward,                \
        .backward = convolution_backward, .release = convolution_release,                                    \
    }

const struct layer_ops layer_convolution = CONVOLUTION("Convolution");
const struct layer_ops layer_deconvolution = CONVOLUTION("Deconvolution");
