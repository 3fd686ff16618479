/*
 * recurrent.h - what LSTM and RNN share: T steps of N streams, the same
 * weights at each step.
 *
 *   gates[t] (N,G) = x[t] Wx' + b [+ x_static Ws'] + (cont[t] h[t-1]) Wh'
 *
 * bottoms x (T,N,...), cont (T,N), [x_static (N,...)], [initial hidden (1,N,D)...]
 * tops    (T,N,D), [last hidden (1,N,D)...]
 *
 * Without expose_hidden the hidden state of the last step is the initial
 * state of the next forward pass (no gradient flows through it).  With it,
 * hidden bottoms get no gradient and those of the hidden tops are ignored:
 * Caffe shares only their data with its unrolled net.
 */
#ifndef ET_RECURRENT_H
#define ET_RECURRENT_H

#include "engine/layers/dense.h"

#define RECURRENT_MAX_HIDDEN 2

struct recurrent {
    size_t t, n, d, g; /* steps, streams, outputs, gates' width */
    int n_hidden;      /* arrays carried from step to step */
    int n_params;      /* of these transforms; the layer's own follow */
    bool has_static, exposes;
    struct dense x, fixed, hidden, hidden_gradient;
    size_t n_floats; /* of the workspace, so far */
    size_t gates_at, dgates_at, cut_at, sum_at;
    float *carried; /* n_hidden (N,D) arrays */
};

/* g is the width of the gates; d is known only from the settings. */
enum status recurrent_setup(struct recurrent *r, struct layer *l, size_t gates_per_output, int n_hidden);

/* Room in the workspace, as a number of floats from its start; asked for while planning. */
size_t recurrent_room(struct recurrent *r, size_t n_floats);
float *recurrent_at(const struct layer *l, size_t at);
/* Plans the transforms; then, when all room is asked for, recurrent_plan_done. */
enum status recurrent_plan(struct recurrent *r, struct layer *l, struct planner *p, struct error *err);
void recurrent_plan_done(const struct recurrent *r, struct planner *p);
void recurrent_release(struct recurrent *r);
/* NULL when the net itself hands the hidden state from pass to pass. */
float *recurrent_carried(const struct recurrent *r, size_t *ret_n_floats);

static inline float *recurrent_gates(const struct recurrent *r, const struct layer *l, size_t t)
{
    return recurrent_at(l, r->gates_at) + t * r->n * r->g;
}

static inline float *recurrent_dgates(const struct recurrent *r, const struct layer *l, size_t t)
{
    return recurrent_at(l, r->dgates_at) + t * r->n * r->g;
}

static inline const float *recurrent_cont(const struct recurrent *r, const struct layer *l, size_t t)
{
    return l->bottoms[1].data + t * r->n;
}

/* Forward: the initial hidden arrays, then the part of all gates that x decides, then step by step. */
void recurrent_start(const struct recurrent *r, const struct layer *l, int which, float *ret_hidden);
void recurrent_inputs(struct recurrent *r, struct layer *l);
void recurrent_step(struct recurrent *r, struct layer *l, size_t t, const float *h_before);
/* Keeps the last hidden array for the next pass, or hands it out. */
void recurrent_finish(struct recurrent *r, struct layer *l, int which, const float *hidden);

/* Backward: dgates[t] is written; gives the gradient of h[t-1]. */
void recurrent_step_back(struct recurrent *r, struct layer *l, size_t t, float *ret_dh);
/* When all dgates are written: the gradients of weights and bottoms. */
void recurrent_inputs_back(struct recurrent *r, struct layer *l);

#endif
