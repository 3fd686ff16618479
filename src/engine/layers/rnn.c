/*
 * rnn.c - RNN: recurrent.h's one gate is h = tanh(gate), and
 *
 *   top[t] = tanh(h[t] Wo' + bo)
 *
 * Parameters: Wx (D,x), b (D), [Ws (D,x_static)], Wh (D,D), Wo (D,D), bo (D), as in Caffe.
 */
#include <math.h>

#include "engine/elementwise.h"
#include "engine/layers/recurrent.h"

struct rnn {
    struct recurrent base;
    struct dense output;
    size_t h_at; /* (T+1,N,D): the initial one first */
    size_t doutput_at, dh_at, dh_next_at;
};

static enum status rnn_setup(struct layer *l, struct error *err)
{
    (void)err;
    struct rnn *s = l->state;
    struct recurrent *r = &s->base;
    TRY(recurrent_setup(r, l, 1, 1));
    dnnl_dim_t d = (dnnl_dim_t)r->d;
    s->output = (struct dense){
        .m = (dnnl_dim_t)(r->t * r->n), .k = d, .n = d, .weights = r->n_params, .bias = r->n_params + 1};
    return OK;
}

static enum status rnn_plan(struct layer *l, struct planner *p, struct error *err)
{
    struct rnn *s = l->state;
    struct recurrent *r = &s->base;
    size_t n_step = r->n * r->d;
    TRY(recurrent_plan(r, l, p, err));
    s->output.wants_forward = true;
    s->output.wants_data = plan_is_training(p);
    s->output.wants_weights = s->output.wants_bias = plan_is_training(p);
    TRY(dense_plan(&s->output, l, p, NULL, NULL, NULL, err));
    s->h_at = recurrent_room(r, (r->t + 1) * n_step);
    if (plan_is_training(p)) {
        s->doutput_at = recurrent_room(r, r->t * n_step);
        s->dh_at = recurrent_room(r, r->t * n_step);
        s->dh_next_at = recurrent_room(r, n_step);
    }
    recurrent_plan_done(r, p);
    return OK;
}

static enum status rnn_forward(struct layer *l, struct error *err)
{
    (void)err;
    struct rnn *s = l->state;
    struct recurrent *r = &s->base;
    size_t n_step = r->n * r->d;
    float *h = recurrent_at(l, s->h_at), *y = l->tops[0].data;
    recurrent_start(r, l, 0, h);
    recurrent_inputs(r, l);
    for (size_t t = 0; t < r->t; t++) {
        recurrent_step(r, l, t, h + t * n_step);
        const float *gate = recurrent_gates(r, l, t);
        float *next = h + (t + 1) * n_step;
        ELEMENTWISE(i, n_step, next[i] = tanhf(gate[i]));
    }
    recurrent_finish(r, l, 0, h + r->t * n_step);
    dense_forward(&s->output, l, h + n_step, y);
    ELEMENTWISE(i, r->t * n_step, y[i] = tanhf(y[i]));
    return OK;
}

static void rnn_backward(struct layer *l)
{
    struct rnn *s = l->state;
    struct recurrent *r = &s->base;
    size_t n_step = r->n * r->d;
    const float *y = l->tops[0].data, *dy = l->tops[0].diff, *h = recurrent_at(l, s->h_at);
    float *doutput = recurrent_at(l, s->doutput_at), *dh = recurrent_at(l, s->dh_at);
    float *dh_next = recurrent_at(l, s->dh_next_at);
    ELEMENTWISE(i, r->t * n_step, doutput[i] = dy[i] * (1 - y[i] * y[i]));
    dense_backward_weights(&s->output, l, h + n_step, doutput);
    dense_backward_data(&s->output, l, doutput, dh);
    for (size_t t = r->t; t-- > 0;) {
        const float *now = h + (t + 1) * n_step, *direct = dh + t * n_step;
        float *dgate = recurrent_dgates(r, l, t);
        bool is_last = t + 1 == r->t;
        ELEMENTWISE(i, n_step,
                    dgate[i] = (is_last ? direct[i] : direct[i] + dh_next[i]) * (1 - now[i] * now[i]));
        recurrent_step_back(r, l, t, dh_next);
    }
    recurrent_inputs_back(r, l);
}

static void rnn_release(struct layer *l)
{
    struct rnn *s = l->state;
    recurrent_release(&s->base);
    dense_release(&s->output);
}

static float *rnn_carried(const struct layer *l, size_t *ret_n_floats)
{
    return recurrent_carried(&((const struct rnn *)l->state)->base, ret_n_floats);
}

const struct layer_ops layer_rnn = {
    .type = "RNN",
    .state_size = sizeof(struct rnn),
    .backward_needs = NEEDS_BOTTOM_DATA | NEEDS_TOP_DATA,
    .setup = rnn_setup,
    .plan = rnn_plan,
    .forward = rnn_forward,
    .backward = rnn_backward,
    .release = rnn_release,
    .carried = rnn_carried,
};
