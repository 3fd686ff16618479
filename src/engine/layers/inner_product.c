/*
 * inner_product.c - top (M,N) = bottom (M,K) x weights' (K,N) + bias (N).
 *
 * M are the bottom's axes before `axis`, K the rest.  Weights are (N,K), or
 * (K,N) with transpose.  A bottom in blocks or with channels last is read as
 * it lies, the weights ordered to match, where oneDNN has a kernel of its own
 * for that; where it would unroll and multiply (half to a twentieth of the
 * speed) the bottom is made plain first, which is cheap.
 */
#include <string.h>

#include "engine/param_layout.h"

struct inner_product {
    dnnl_dim_t m, k, n;
    bool has_bias, transpose;
    bool reads_as_it_lies; /* the bottom keeps its own axes */
    bool wants_data, wants_weights, wants_bias;
    struct kernel forward, backward_data, backward_weights;
    struct weights_copy forward_weights, data_weights;
    struct weights_gradient weights_diff, bias_diff;
};

struct choice {
    dnnl_primitive_desc_t forward, data, weights;
    dnnl_memory_desc_t src, dst, bias, plain;
};

static void choice_release(struct choice *c)
{
    pd_freep(&c->forward);
    pd_freep(&c->data);
    pd_freep(&c->weights);
    *c = (struct choice){0};
}

static enum status inner_product_setup(struct layer *l, struct error *err)
{
    (void)err;
    struct inner_product *s = l->state;
    const Caffe__InnerProductParameter *p = l->def->param->inner_product_param;
    const struct shape *bottom = &l->bottoms[0].shape;
    int axis = shape_axis(bottom, p->axis);
    s->m = shape_count_range(bottom, 0, axis);
    s->k = shape_count_range(bottom, axis, bottom->n_axes);
    s->n = p->num_output;
    s->has_bias = p->bias_term;
    s->transpose = p->transpose;
    s->reads_as_it_lies = axis == 1 && bottom->n_axes >= 3 && bottom->n_axes <= 5;
    return OK;
}

/*
 * Caffe's order of the weights over the axes (N, rest of src): the plain one,
 * or with N varying fastest when they are transposed.
 */
static void weights_plain(const struct inner_product *s, const dnnl_memory_desc_t *src,
                          dnnl_memory_desc_t *ret)
{
    dnnl_dims_t dims, strides;
    memcpy(dims, src->dims, sizeof(dims));
    dims[0] = s->n;
    dnnl_dim_t stride = s->transpose ? s->n : 1;
    for (int i = src->ndims - 1; i > 0; i--) {
        strides[i] = stride;
        stride *= dims[i];
    }
    strides[0] = s->transpose ? 1 : stride;
    dnnl_memory_desc_init_by_strides(ret, src->ndims, dims, dnnl_f32, strides);
}

static bool try_bottom(const struct inner_product *s, const dnnl_memory_desc_t *src, bool is_training,
                       const_dnnl_post_ops_t post_ops, struct choice *c)
{
    dnnl_memory_desc_t any;
    c->src = *src;
    dnnl_memory_desc_init_by_tag(&c->dst, 2, (dnnl_dims_t){s->m, s->n}, dnnl_f32, dnnl_ab);
    dnnl_memory_desc_init_by_tag(&c->bias, 1, (dnnl_dims_t){s->n}, dnnl_f32, dnnl_a);
    weights_plain(s, src, &c->plain);
    dnnl_memory_desc_init_by_tag(&any, c->plain.ndims, c->plain.dims, dnnl_f32, dnnl_format_tag_any);
    dnnl_inner_product_desc_t op;
    dnnl_inner_product_forward_desc_init(&op, is_training ? dnnl_forward_training : dnnl_forward_inference,
                                         &c->src, &any, s->has_bias ? &c->bias : NULL, &c->dst);
    c->forward = pd_make(&op, post_ops, NULL);
    if (c->forward && (s->wants_weights || s->wants_bias)) {
        dnnl_inner_product_backward_weights_desc_init(&op, &c->src, &any, s->wants_bias ? &c->bias : NULL,
                                                      &c->dst);
        c->weights = pd_make(&op, NULL, c->forward);
    }
    if (c->forward && s->wants_data) {
        dnnl_inner_product_backward_data_desc_init(&op, &c->src, &any, &c->dst);
        c->data = pd_make(&op, NULL, c->forward);
    }
    return c->forward && (!s->wants_data || c->data) && ((!s->wants_weights && !s->wants_bias) || c->weights);
}

static bool is_slow(const_dnnl_primitive_desc_t pd)
{
    return pd && (pd_is_gemm(pd) || pd_is_reference(pd));
}

/* Reads the bottom as it lies when all kernels are fast so, else as rows. */
static enum status choose(struct inner_product *s, const dnnl_memory_desc_t *lies, bool is_training,
                          const_dnnl_post_ops_t post_ops, struct choice *c, struct error *err)
{
    s->reads_as_it_lies = s->reads_as_it_lies && !desc_is_plain(lies) &&
                          try_bottom(s, lies, is_training, post_ops, c) && !is_slow(c->forward) &&
                          !is_slow(c->data) && !is_slow(c->weights);
    if (s->reads_as_it_lies)
        return OK;
    choice_release(c);
    dnnl_memory_desc_t rows;
    dnnl_memory_desc_init_by_tag(&rows, 2, (dnnl_dims_t){s->m, s->k}, dnnl_f32, dnnl_ab);
    if (!try_bottom(s, &rows, is_training, post_ops, c))
        return error_set(err, UNSUPPORTED, "oneDNN has no inner product for this shape");
    return OK;
}

static enum status plan_kernels(struct layer *l, struct planner *p, const struct choice *c, struct error *err)
{
    struct inner_product *s = l->state;
    const dnnl_memory_desc_t *weights = pd_query(c->forward, dnnl_query_weights_md);
    const dnnl_memory_desc_t *written =
        c->weights ? pd_query(c->weights, dnnl_query_diff_weights_md) : weights;
    plan_param(p, 0, written, &c->plain);
    TRY(weights_copy_plan(&s->forward_weights, p, l->params[0], weights, &c->plain, err));
    TRY(kernel_init(&s->forward, c->forward, err));
    kernel_arg(&s->forward, DNNL_ARG_SRC, &c->src);
    kernel_arg(&s->forward, DNNL_ARG_WEIGHTS, weights);
    kernel_arg(&s->forward, DNNL_ARG_DST, &c->dst);
    if (s->has_bias)
        kernel_arg(&s->forward, DNNL_ARG_BIAS, &c->bias);
    plan_scratch(p, s->forward.scratch_bytes);
    if (c->data) {
        const dnnl_memory_desc_t *data_weights = pd_query(c->data, dnnl_query_weights_md);
        TRY(weights_copy_plan(&s->data_weights, p, l->params[0], data_weights, &c->plain, err));
        TRY(kernel_init(&s->backward_data, c->data, err));
        kernel_arg(&s->backward_data, DNNL_ARG_DIFF_DST, &c->dst);
        kernel_arg(&s->backward_data, DNNL_ARG_WEIGHTS, data_weights);
        kernel_arg(&s->backward_data, DNNL_ARG_DIFF_SRC, &c->src);
        plan_scratch(p, s->backward_data.scratch_bytes);
    }
    if (!c->weights)
        return OK;
    TRY(weights_gradient_plan(&s->weights_diff, p, l->params[0], written, &c->plain, err));
    TRY(kernel_init(&s->backward_weights, c->weights, err));
    kernel_arg(&s->backward_weights, DNNL_ARG_SRC, &c->src);
    kernel_arg(&s->backward_weights, DNNL_ARG_DIFF_DST, &c->dst);
    kernel_arg(&s->backward_weights, DNNL_ARG_DIFF_WEIGHTS, written);
    if (s->wants_bias) {
        TRY(weights_gradient_plan(&s->bias_diff, p, l->params[1], &c->bias, &c->bias, err));
        kernel_arg(&s->backward_weights, DNNL_ARG_DIFF_BIAS, &c->bias);
    }
    plan_scratch(p, s->backward_weights.scratch_bytes);
    return OK;
}

static enum status inner_product_plan(struct layer *l, struct planner *p, struct error *err)
{
    struct inner_product *s = l->state;
    bool is_training = plan_is_training(p);
    s->wants_weights = is_training && l->params[0]->is_learned;
    s->wants_bias = is_training && s->has_bias && l->params[1]->is_learned;
    s->wants_data = is_training && plan_wants_bottom_diff(p, 0);
    plan_backward_needs(p, s->wants_weights || s->wants_bias ? NEEDS_BOTTOM_DATA : 0);

    dnnl_post_ops_t post_ops = NULL;
    dnnl_post_ops_create(&post_ops);
    if (plan_take_relu(p))
        dnnl_post_ops_append_eltwise(post_ops, 1, dnnl_eltwise_relu, 0, 0);
    CLEANUP(choice_release) struct choice c = {0};
    enum status status = choose(s, plan_bottom_desc(p, 0), is_training, post_ops, &c, err);
    dnnl_post_ops_destroy(post_ops);
    TRY(status);
    TRY(plan_kernels(l, p, &c, err));
    if (s->reads_as_it_lies)
        plan_bottom(p, 0, &c.src);
    return OK;
}

static enum status inner_product_forward(struct layer *l, struct error *err)
{
    (void)err;
    struct inner_product *s = l->state;
    const float *weights = weights_copy_get(&s->forward_weights, l->params[0], l->scratch);
    const float *bias = s->has_bias ? l->params[1]->data : NULL;
    KERNEL_RUN(&s->forward, l->scratch, l->bottoms[0].data, weights, l->tops[0].data, bias);
    return OK;
}

static void inner_product_backward(struct layer *l)
{
    struct inner_product *s = l->state;
    if (s->wants_weights || s->wants_bias) {
        float *weights =
            s->wants_weights ? weights_gradient_target(&s->weights_diff, l->params[0]) : s->weights_diff.own;
        float *bias = s->wants_bias ? weights_gradient_target(&s->bias_diff, l->params[1]) : NULL;
        KERNEL_RUN(&s->backward_weights, l->scratch, l->bottoms[0].data, l->tops[0].diff, weights, bias);
        if (s->wants_weights)
            weights_gradient_done(&s->weights_diff, l->params[0], l->scratch);
        if (s->wants_bias)
            weights_gradient_done(&s->bias_diff, l->params[1], l->scratch);
    }
    if (l->bottoms[0].diff) {
        const float *weights = weights_copy_get(&s->data_weights, l->params[0], l->scratch);
        KERNEL_RUN(&s->backward_data, l->scratch, l->tops[0].diff, weights, l->bottoms[0].diff);
    }
}

static void inner_product_release(struct layer *l)
{
    struct inner_product *s = l->state;
    kernel_release(&s->forward);
    kernel_release(&s->backward_data);
    kernel_release(&s->backward_weights);
    weights_copy_release(&s->forward_weights);
    weights_copy_release(&s->data_weights);
    weights_gradient_release(&s->weights_diff);
    weights_gradient_release(&s->bias_diff);
}

const struct layer_ops layer_inner_product = {
    .type = "InnerProduct",
    .state_size = sizeof(struct inner_product),
    .reads_bottoms_first = true,
    .setup = inner_product_setup,
    .plan = inner_product_plan,
    .forward = inner_product_forward,
    .backward = inner_product_backward,
    .release = inner_product_release,
};
