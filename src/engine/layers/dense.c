#include "engine/layers/dense.h"

#include <string.h>

struct choice {
    dnnl_primitive_desc_t forward, data, weights;
    dnnl_memory_desc_t src, dst, diff_dst, bias, plain;
};

static void choice_release(struct choice *c)
{
    pd_freep(&c->forward);
    pd_freep(&c->data);
    pd_freep(&c->weights);
    *c = (struct choice){0};
}

static bool has_bias(const struct dense *d)
{
    return d->bias >= 0;
}

static bool wants_gradient(const struct dense *d)
{
    return d->wants_weights || d->wants_bias;
}

/*
 * Caffe's order of the weights over the axes (N, rest of src): the plain one,
 * or with N varying fastest when they are transposed.
 */
static void weights_plain(const struct dense *d, const dnnl_memory_desc_t *src, dnnl_memory_desc_t *ret)
{
    dnnl_dims_t dims = {0}, strides = {0};
    memcpy(dims, src->dims, sizeof(dims));
    dims[0] = d->n;
    dnnl_dim_t stride = d->transpose ? d->n : 1;
    for (int i = src->ndims - 1; i > 0; i--) {
        strides[i] = stride;
        stride *= dims[i];
    }
    strides[0] = d->transpose ? 1 : stride;
    dnnl_memory_desc_init_by_strides(ret, src->ndims, dims, dnnl_f32, strides);
}

static dnnl_data_type_t type_of(bool is_bf16)
{
    return is_bf16 ? dnnl_bf16 : dnnl_f32;
}

static bool is_complete(const struct dense *d, const struct choice *c)
{
    return c->forward && (!d->wants_data || c->data) && (!wants_gradient(d) || c->weights);
}

enum weights_order { ORDER_ANY, ORDER_PLAIN };

static bool try_source(const struct dense *d, const dnnl_memory_desc_t *src, enum weights_order order,
                       bool is_training, const_dnnl_post_ops_t post_ops, struct choice *c)
{
    dnnl_memory_desc_t any, gradient;
    c->src = desc_of_type(src, type_of(d->is_bf16));
    dnnl_memory_desc_init_by_tag(&c->dst, 2, (dnnl_dims_t){d->m, d->n}, type_of(d->y_is_bf16), dnnl_ab);
    c->diff_dst = desc_of_type(&c->dst, type_of(d->is_bf16));
    dnnl_memory_desc_init_by_tag(&c->bias, 1, (dnnl_dims_t){d->n}, dnnl_f32, dnnl_a);
    weights_plain(d, src, &c->plain);
    gradient = c->plain;
    if (order == ORDER_ANY)
        dnnl_memory_desc_init_by_tag(&gradient, c->plain.ndims, c->plain.dims, dnnl_f32, dnnl_format_tag_any);
    any = desc_of_type(&gradient, type_of(d->is_bf16));
    dnnl_inner_product_desc_t op;
    dnnl_inner_product_forward_desc_init(&op, is_training ? dnnl_forward_training : dnnl_forward_inference,
                                         &c->src, &any, has_bias(d) ? &c->bias : NULL, &c->dst);
    c->forward = pd_make(&op, post_ops, NULL);
    if (c->forward && wants_gradient(d)) {
        dnnl_inner_product_backward_weights_desc_init(&op, &c->src, &gradient,
                                                      d->wants_bias ? &c->bias : NULL, &c->diff_dst);
        c->weights = pd_make(&op, NULL, c->forward);
    }
    if (c->forward && d->wants_data) {
        dnnl_inner_product_backward_data_desc_init(&op, &c->src, &any, &c->diff_dst);
        c->data = pd_make(&op, NULL, c->forward);
    }
    return is_complete(d, c);
}

static bool is_slow(const_dnnl_primitive_desc_t pd)
{
    return pd && (pd_is_gemm(pd) || pd_is_reference(pd));
}

static bool is_reference(const struct choice *c)
{
    return pd_is_reference(c->forward) || (c->data && pd_is_reference(c->data)) ||
           (c->weights && pd_is_reference(c->weights));
}

/*
 * Reads x as it lies when all kernels are fast so, else as rows; in f32 where bf16 has reference code only.
 * What multiplies by gemm multiplies matrices either way round, but would have
 * the weights in one order forward and in another back, and both reorders and
 * their memory cost more than the multiplications: it takes them as they are.
 */
static enum status choose(struct dense *d, const dnnl_memory_desc_t *lies, bool is_training,
                          const_dnnl_post_ops_t post_ops, struct choice *c, dnnl_memory_desc_t *ret_x,
                          struct error *err)
{
    if (lies && try_source(d, lies, ORDER_ANY, is_training, post_ops, c) && !is_slow(c->forward) &&
        !is_slow(c->data) && !is_slow(c->weights)) {
        *ret_x = c->src;
        return OK;
    }
    choice_release(c);
    dnnl_memory_desc_t rows;
    dnnl_memory_desc_init_by_tag(&rows, 2, (dnnl_dims_t){d->m, d->k}, dnnl_f32, dnnl_ab);
    if (d->is_bf16 && (!try_source(d, &rows, ORDER_ANY, is_training, post_ops, c) || is_reference(c))) {
        choice_release(c);
        d->is_bf16 = d->y_is_bf16 = false;
    }
    if (!c->forward)
        try_source(d, &rows, ORDER_ANY, is_training, post_ops, c);
    if (c->forward && !d->is_bf16 && pd_is_gemm(c->forward)) {
        choice_release(c);
        try_source(d, &rows, ORDER_PLAIN, is_training, post_ops, c);
    }
    if (!is_complete(d, c))
        return error_set(err, UNSUPPORTED, "oneDNN has no inner product for this shape");
    return OK;
}

static enum status plan_forward(struct dense *d, struct layer *l, struct planner *p, const struct choice *c,
                                struct error *err)
{
    const dnnl_memory_desc_t *weights = pd_query(c->forward, dnnl_query_weights_md);
    TRY(weights_copy_plan(&d->forward_weights, p, l->params[d->weights], weights, &c->plain, err));
    TRY(kernel_init(&d->forward, c->forward, err));
    kernel_arg(&d->forward, DNNL_ARG_SRC, &c->src);
    kernel_arg(&d->forward, DNNL_ARG_WEIGHTS, weights);
    kernel_arg(&d->forward, DNNL_ARG_DST, &c->dst);
    if (has_bias(d))
        kernel_arg(&d->forward, DNNL_ARG_BIAS, &c->bias);
    plan_scratch(p, d->forward.scratch_bytes);
    return OK;
}

static enum status plan_data(struct dense *d, struct layer *l, struct planner *p, const struct choice *c,
                             struct error *err)
{
    const dnnl_memory_desc_t *weights = pd_query(c->data, dnnl_query_weights_md);
    d->one_copy =
        d->wants_forward && dnnl_memory_desc_equal(weights, pd_query(c->forward, dnnl_query_weights_md));
    if (!d->one_copy)
        TRY(weights_copy_plan(&d->data_weights, p, l->params[d->weights], weights, &c->plain, err));
    TRY(kernel_init(&d->backward_data, c->data, err));
    kernel_arg(&d->backward_data, DNNL_ARG_DIFF_DST, &c->diff_dst);
    kernel_arg(&d->backward_data, DNNL_ARG_WEIGHTS, weights);
    kernel_arg(&d->backward_data, DNNL_ARG_DIFF_SRC, &c->src);
    plan_scratch(p, d->backward_data.scratch_bytes);
    return OK;
}

static enum status plan_gradient(struct dense *d, struct layer *l, struct planner *p, const struct choice *c,
                                 struct error *err)
{
    const dnnl_memory_desc_t *written = pd_query(c->weights, dnnl_query_diff_weights_md);
    TRY(weights_gradient_plan(&d->weights_diff, p, l->params[d->weights], written, &c->plain, err));
    TRY(kernel_init(&d->backward_weights, c->weights, err));
    kernel_arg(&d->backward_weights, DNNL_ARG_SRC, &c->src);
    kernel_arg(&d->backward_weights, DNNL_ARG_DIFF_DST, &c->diff_dst);
    kernel_arg(&d->backward_weights, DNNL_ARG_DIFF_WEIGHTS, written);
    if (d->wants_bias) {
        TRY(weights_gradient_plan(&d->bias_diff, p, l->params[d->bias], &c->bias, &c->bias, err));
        kernel_arg(&d->backward_weights, DNNL_ARG_DIFF_BIAS, &c->bias);
    }
    plan_scratch(p, d->backward_weights.scratch_bytes);
    return OK;
}

enum status dense_plan(struct dense *d, struct layer *l, struct planner *p, const dnnl_memory_desc_t *x_lies,
                       const_dnnl_post_ops_t post_ops, dnnl_memory_desc_t *ret_x, struct error *err)
{
    CLEANUP(choice_release) struct choice c = {0};
    TRY(choose(d, x_lies, plan_is_training(p), post_ops, &c, ret_x, err));
    const dnnl_memory_desc_t *master = c.weights ? pd_query(c.weights, dnnl_query_diff_weights_md)
                                                 : pd_query(c.forward, dnnl_query_weights_md);
    plan_param(p, d->weights, master->data_type == dnnl_f32 ? master : &c.plain, &c.plain);
    if (d->wants_forward)
        TRY(plan_forward(d, l, p, &c, err));
    if (c.data)
        TRY(plan_data(d, l, p, &c, err));
    return c.weights ? plan_gradient(d, l, p, &c, err) : OK;
}

void dense_forward(struct dense *d, struct layer *l, const void *x, void *y)
{
    const float *weights = weights_copy_get(&d->forward_weights, l->params[d->weights], l->scratch);
    const float *bias = has_bias(d) ? l->params[d->bias]->data : NULL;
    KERNEL_RUN(&d->forward, l->scratch, x, weights, y, bias);
}

void dense_backward_weights(struct dense *d, struct layer *l, const void *x, const void *dy)
{
    if (!wants_gradient(d))
        return;
    float *weights = d->wants_weights ? weights_gradient_target(&d->weights_diff, l->params[d->weights])
                                      : d->weights_diff.own;
    float *bias = d->wants_bias ? weights_gradient_target(&d->bias_diff, l->params[d->bias]) : NULL;
    KERNEL_RUN(&d->backward_weights, l->scratch, x, dy, weights, bias);
    if (d->wants_weights)
        weights_gradient_done(&d->weights_diff, l->params[d->weights], l->scratch);
    if (d->wants_bias)
        weights_gradient_done(&d->bias_diff, l->params[d->bias], l->scratch);
}

void dense_backward_data(struct dense *d, struct layer *l, const void *dy, void *dx)
{
    struct weights_copy *copy = d->one_copy ? &d->forward_weights : &d->data_weights;
    const float *weights = weights_copy_get(copy, l->params[d->weights], l->scratch);
    KERNEL_RUN(&d->backward_data, l->scratch, dy, weights, dx);
}

void dense_release(struct dense *d)
{
    kernel_release(&d->forward);
    kernel_release(&d->backward_data);
    kernel_release(&d->backward_weights);
    weights_copy_release(&d->forward_weights);
    weights_copy_release(&d->data_weights);
    weights_gradient_release(&d->weights_diff);
    weights_gradient_release(&d->bias_diff);
}
