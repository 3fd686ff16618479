#include "engine/layers/recurrent.h"

#include <string.h>

/* ---- setup and plan ---- */

enum status recurrent_setup(struct recurrent *r, struct layer *l, size_t gates_per_output, int n_hidden)
{
    const Caffe__RecurrentParameter *param = l->def->param->recurrent_param;
    const struct shape *x = &l->bottoms[0].shape;
    *r = (struct recurrent){
        .t = (size_t)x->dim[0],
        .n = (size_t)x->dim[1],
        .d = param->num_output,
        .g = gates_per_output * param->num_output,
        .n_hidden = n_hidden,
        .exposes = param->expose_hidden,
    };
    r->has_static = l->n_bottoms > 2 + (r->exposes ? n_hidden : 0);
    r->n_params = r->has_static ? 4 : 3;
    dnnl_dim_t t = (dnnl_dim_t)r->t, n = (dnnl_dim_t)r->n, g = (dnnl_dim_t)r->g, d = param->num_output;
    r->x =
        (struct dense){.m = t * n, .k = shape_count_range(x, 2, x->n_axes), .n = g, .weights = 0, .bias = 1};
    if (r->has_static) {
        const struct shape *fixed = &l->bottoms[2].shape;
        r->fixed = (struct dense){
            .m = n, .k = shape_count_range(fixed, 1, fixed->n_axes), .n = g, .weights = 2, .bias = -1};
    }
    r->hidden = (struct dense){.m = n, .k = d, .n = g, .weights = r->n_params - 1, .bias = -1};
    r->hidden_gradient = (struct dense){.m = t * n, .k = d, .n = g, .weights = r->n_params - 1, .bias = -1};
    return OK;
}

size_t recurrent_room(struct recurrent *r, size_t n_floats)
{
    size_t at = r->n_floats;
    r->n_floats += kernel_align(n_floats * sizeof(float)) / sizeof(float);
    return at;
}

float *recurrent_at(const struct layer *l, size_t at)
{
    return (float *)l->workspace + at;
}

/* The steps' gradients of the hidden weights are made at once, from all steps. */
static enum status plan_hidden(struct recurrent *r, struct layer *l, struct planner *p, struct error *err)
{
    if (plan_is_training(p)) {
        r->hidden_gradient.wants_weights = true;
        TRY(dense_plan(&r->hidden_gradient, l, p, NULL, NULL, NULL, err));
    }
    r->hidden.wants_forward = true;
    r->hidden.wants_data = plan_is_training(p);
    dnnl_post_ops_t sum = NULL;
    dnnl_post_ops_create(&sum);
    dnnl_post_ops_append_sum(sum, 1);
    enum status status = dense_plan(&r->hidden, l, p, NULL, sum, NULL, err);
    dnnl_post_ops_destroy(sum);
    return status;
}

/* The gradients of all parameters are computed, as Caffe's recurrent layers do, whatever their lr_mult. */
static enum status plan_input(struct dense *d, struct layer *l, struct planner *p, int bottom,
                              struct error *err)
{
    d->wants_forward = true;
    d->wants_weights = plan_is_training(p);
    d->wants_bias = plan_is_training(p) && d->bias >= 0;
    d->wants_data = plan_is_training(p) && plan_wants_bottom_diff(p, bottom);
    return dense_plan(d, l, p, NULL, NULL, NULL, err);
}

enum status recurrent_plan(struct recurrent *r, struct layer *l, struct planner *p, struct error *err)
{
    TRY(plan_input(&r->x, l, p, 0, err));
    if (r->has_static)
        TRY(plan_input(&r->fixed, l, p, 2, err));
    TRY(plan_hidden(r, l, p, err));
    r->gates_at = recurrent_room(r, r->t * r->n * r->g);
    r->cut_at = recurrent_room(r, r->t * r->n * r->d);
    if (r->has_static)
        r->sum_at = recurrent_room(r, r->n * r->g);
    if (plan_is_training(p))
        r->dgates_at = recurrent_room(r, r->t * r->n * r->g);
    if (!r->exposes)
        r->carried = plan_keep(p, (size_t)r->n_hidden * r->n * r->d * sizeof(float));
    return OK;
}

void recurrent_plan_done(const struct recurrent *r, struct planner *p)
{
    plan_workspace(p, r->n_floats * sizeof(float));
}

void recurrent_release(struct recurrent *r)
{
    dense_release(&r->x);
    dense_release(&r->fixed);
    dense_release(&r->hidden);
    dense_release(&r->hidden_gradient);
}

float *recurrent_carried(const struct recurrent *r, size_t *ret_n_floats)
{
    *ret_n_floats = r->carried ? (size_t)r->n_hidden * r->n * r->d : 0;
    return r->carried;
}

/* ---- forward ---- */

static size_t hidden_bytes(const struct recurrent *r)
{
    return r->n * r->d * sizeof(float);
}

void recurrent_start(const struct recurrent *r, const struct layer *l, int which, float *ret_hidden)
{
    const float *from =
        r->exposes ? l->bottoms[2 + r->has_static + which].data : r->carried + (size_t)which * r->n * r->d;
    memcpy(ret_hidden, from, hidden_bytes(r));
}

void recurrent_inputs(struct recurrent *r, struct layer *l)
{
    dense_forward(&r->x, l, l->bottoms[0].data, recurrent_gates(r, l, 0));
    if (!r->has_static)
        return;
    float *fixed = recurrent_at(l, r->sum_at);
    size_t n_step = r->n * r->g;
    dense_forward(&r->fixed, l, l->bottoms[2].data, fixed);
    for (size_t t = 0; t < r->t; t++) {
        float *gates = recurrent_gates(r, l, t);
        for (size_t i = 0; i < n_step; i++)
            gates[i] += fixed[i];
    }
}

/* to = cont of the stream x from */
static void cut(const struct recurrent *r, const float *cont, const float *from, float *to)
{
    for (size_t row = 0; row < r->n; row++)
        for (size_t k = row * r->d; k < (row + 1) * r->d; k++)
            to[k] = cont[row] * from[k];
}

static float *cut_hidden(const struct recurrent *r, const struct layer *l, size_t t)
{
    return recurrent_at(l, r->cut_at) + t * r->n * r->d;
}

void recurrent_step(struct recurrent *r, struct layer *l, size_t t, const float *h_before)
{
    float *h = cut_hidden(r, l, t);
    cut(r, recurrent_cont(r, l, t), h_before, h);
    dense_forward(&r->hidden, l, h, recurrent_gates(r, l, t));
}

void recurrent_finish(struct recurrent *r, struct layer *l, int which, const float *hidden)
{
    float *to = r->exposes ? l->tops[1 + which].data : r->carried + (size_t)which * r->n * r->d;
    memcpy(to, hidden, hidden_bytes(r));
}

/* ---- backward ---- */

void recurrent_step_back(struct recurrent *r, struct layer *l, size_t t, float *ret_dh)
{
    dense_backward_data(&r->hidden, l, recurrent_dgates(r, l, t), ret_dh);
    cut(r, recurrent_cont(r, l, t), ret_dh, ret_dh);
}

static void fixed_back(struct recurrent *r, struct layer *l)
{
    float *sum = recurrent_at(l, r->sum_at);
    size_t n_step = r->n * r->g;
    memcpy(sum, recurrent_dgates(r, l, 0), n_step * sizeof(float));
    for (size_t t = 1; t < r->t; t++) {
        const float *dgates = recurrent_dgates(r, l, t);
        for (size_t i = 0; i < n_step; i++)
            sum[i] += dgates[i];
    }
    dense_backward_weights(&r->fixed, l, l->bottoms[2].data, sum);
    if (l->bottoms[2].diff)
        dense_backward_data(&r->fixed, l, sum, l->bottoms[2].diff);
}

void recurrent_inputs_back(struct recurrent *r, struct layer *l)
{
    const float *dgates = recurrent_dgates(r, l, 0);
    dense_backward_weights(&r->hidden_gradient, l, cut_hidden(r, l, 0), dgates);
    dense_backward_weights(&r->x, l, l->bottoms[0].data, dgates);
    if (l->bottoms[0].diff)
        dense_backward_data(&r->x, l, dgates, l->bottoms[0].diff);
    if (r->has_static)
        fixed_back(r, l);
    for (int i = 2 + r->has_static; i < l->n_bottoms; i++)
        if (l->bottoms[i].diff)
            memset(l->bottoms[i].diff, 0, hidden_bytes(r));
}
