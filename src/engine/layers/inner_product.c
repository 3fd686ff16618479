/*
 * inner_product.c - top (M,N) = bottom (M,K) x weights' (K,N) + bias (N).
 *
 * M are the bottom's axes before `axis`, K the rest.  Weights are (N,K), or
 * (K,N) with transpose.  A bottom in blocks or with channels last is read as
 * it lies, the weights ordered to match, where oneDNN has a kernel of its own
 * for that; where it would unroll and multiply (half to a twentieth of the
 * speed) the bottom is made plain first, which is cheap.
 */
#include "engine/layers/dense.h"

struct inner_product {
    struct dense dense;
    bool keeps_axes; /* the bottom may be read with its own axes */
};

static enum status inner_product_setup(struct layer *l, struct error *err)
{
    (void)err;
    struct inner_product *s = l->state;
    const Caffe__InnerProductParameter *p = l->def->param->inner_product_param;
    const struct shape *bottom = &l->bottoms[0].shape;
    int axis = shape_axis(bottom, p->axis);
    s->dense.m = shape_count_range(bottom, 0, axis);
    s->dense.k = shape_count_range(bottom, axis, bottom->n_axes);
    s->dense.n = p->num_output;
    s->dense.bias = p->bias_term ? 1 : -1;
    s->dense.transpose = p->transpose;
    s->keeps_axes = axis == 1 && bottom->n_axes >= 3 && bottom->n_axes <= 5;
    return OK;
}

static enum status inner_product_plan(struct layer *l, struct planner *p, struct error *err)
{
    struct inner_product *s = l->state;
    struct dense *d = &s->dense;
    d->wants_forward = true;
    d->is_bf16 = plan_is_bf16(p);
    d->y_is_bf16 = plan_top_type(p, 0) == dnnl_bf16;
    d->wants_weights = l->param_propagate_down[0];
    d->wants_bias = d->bias >= 0 && l->param_propagate_down[1];
    d->wants_data = plan_is_training(p) && plan_wants_bottom_diff(p, 0);
    plan_backward_needs(p, d->wants_weights || d->wants_bias ? NEEDS_BOTTOM_DATA : 0);

    dnnl_post_ops_t post_ops = NULL;
    dnnl_post_ops_create(&post_ops);
    if (plan_take_relu(p))
        dnnl_post_ops_append_eltwise(post_ops, 1, dnnl_eltwise_relu, 0, 0);
    const dnnl_memory_desc_t *lies = plan_bottom_desc(p, 0);
    bool may_lie = s->keeps_axes && !desc_is_plain(lies);
    dnnl_memory_desc_t bottom, top, top_diff;
    desc_plain(&l->bottoms[0].shape, &bottom);
    enum status status = dense_plan(d, l, p, may_lie ? lies : NULL, post_ops, &bottom, err);
    dnnl_post_ops_destroy(post_ops);
    bottom = desc_of_type(&bottom, d->is_bf16 ? dnnl_bf16 : dnnl_f32);
    plan_bottom(p, 0, &bottom);
    desc_plain(&l->tops[0].shape, &top);
    top_diff = desc_of_type(&top, d->is_bf16 ? dnnl_bf16 : dnnl_f32);
    top = desc_of_type(&top, d->y_is_bf16 ? dnnl_bf16 : dnnl_f32);
    plan_top(p, 0, &top);
    plan_top_diff(p, 0, &top_diff);
    return status;
}

static enum status inner_product_forward(struct layer *l, struct error *err)
{
    (void)err;
    struct inner_product *s = l->state;
    dense_forward(&s->dense, l, l->bottoms[0].data, l->tops[0].data);
    return OK;
}

static void inner_product_backward(struct layer *l)
{
    struct inner_product *s = l->state;
    dense_backward_weights(&s->dense, l, l->bottoms[0].data, l->tops[0].diff);
    if (l->bottoms[0].diff)
        dense_backward_data(&s->dense, l, l->tops[0].diff, l->bottoms[0].diff);
}

static void inner_product_release(struct layer *l)
{
    dense_release(&((struct inner_product *)l->state)->dense);
}

const struct layer_ops layer_inner_product = {
    .type = "InnerProduct",
    .state_size = sizeof(struct inner_product),
    .bf16 = true,
    .reads_bottoms_first = true,
    .setup = inner_product_setup,
    .plan = inner_product_plan,
    .forward = inner_product_forward,
    .backward = inner_product_backward,
    .release = inner_product_release,
};
