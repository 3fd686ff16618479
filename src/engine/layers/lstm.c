/*
 * lstm.c - LSTM: recurrent.h's gates, i f o g, each of D; hidden are h and c.
 * Parameters: Wx (4D,x), b (4D), [Ws (4D,x_static)], Wh (4D,D), as in Caffe.
 */
#include "engine/layers/lstm_unit.h"
#include "engine/layers/recurrent.h"

enum { H, C };

struct lstm {
    struct recurrent base;
    size_t h_at, c_at; /* c (T+1,N,D): the initial one first */
    size_t dh_at, dh_sum_at, dc_at;
};

static enum status lstm_setup(struct layer *l, struct error *err)
{
    (void)err;
    return recurrent_setup(&((struct lstm *)l->state)->base, l, 4, 2);
}

static enum status lstm_plan(struct layer *l, struct planner *p, struct error *err)
{
    struct lstm *s = l->state;
    struct recurrent *r = &s->base;
    size_t n_step = r->n * r->d;
    TRY(recurrent_plan(r, l, p, err));
    s->h_at = recurrent_room(r, n_step);
    s->c_at = recurrent_room(r, (r->t + 1) * n_step);
    if (plan_is_training(p)) {
        s->dh_at = recurrent_room(r, n_step);
        s->dh_sum_at = recurrent_room(r, n_step);
        s->dc_at = recurrent_room(r, n_step);
    }
    recurrent_plan_done(r, p);
    return OK;
}

static enum status lstm_forward(struct layer *l, struct error *err)
{
    (void)err;
    struct lstm *s = l->state;
    struct recurrent *r = &s->base;
    size_t n_step = r->n * r->d;
    float *before = recurrent_at(l, s->h_at), *c = recurrent_at(l, s->c_at), *h = l->tops[0].data;
    recurrent_start(r, l, H, before);
    recurrent_start(r, l, C, c);
    recurrent_inputs(r, l);
    for (size_t t = 0; t < r->t; t++, c += n_step) {
        recurrent_step(r, l, t, t ? h + (t - 1) * n_step : before);
        lstm_unit_forward(r->n, r->d, recurrent_cont(r, l, t), c, recurrent_gates(r, l, t), c + n_step,
                          h + t * n_step);
    }
    recurrent_finish(r, l, H, h + (r->t - 1) * n_step);
    recurrent_finish(r, l, C, c);
    return OK;
}

static void lstm_backward(struct layer *l)
{
    struct lstm *s = l->state;
    struct recurrent *r = &s->base;
    size_t n_step = r->n * r->d;
    float *dh_next = recurrent_at(l, s->dh_at), *sum = recurrent_at(l, s->dh_sum_at);
    float *dc = recurrent_at(l, s->dc_at);
    for (size_t t = r->t; t-- > 0;) {
        const float *c = recurrent_at(l, s->c_at) + t * n_step, *dtop = l->tops[0].diff + t * n_step;
        bool is_last = t + 1 == r->t;
        for (size_t i = 0; i < n_step; i++)
            sum[i] = is_last ? dtop[i] : dtop[i] + dh_next[i];
        lstm_unit_backward(r->n, r->d, c, recurrent_gates(r, l, t), c + n_step, sum, is_last ? NULL : dc,
                           recurrent_dgates(r, l, t), dc);
        recurrent_step_back(r, l, t, dh_next);
    }
    recurrent_inputs_back(r, l);
}

static void lstm_release(struct layer *l)
{
    recurrent_release(&((struct lstm *)l->state)->base);
}

static float *lstm_carried(const struct layer *l, size_t *ret_n_floats)
{
    return recurrent_carried(&((const struct lstm *)l->state)->base, ret_n_floats);
}

const struct layer_ops layer_lstm = {
    .type = "LSTM",
    .state_size = sizeof(struct lstm),
    .backward_needs = NEEDS_BOTTOM_DATA,
    .setup = lstm_setup,
    .plan = lstm_plan,
    .forward = lstm_forward,
    .backward = lstm_backward,
    .release = lstm_release,
    .carried = lstm_carried,
};
