/* lstm_unit.c - LSTMUnit: bottoms c_before (1,N,D), gates (1,N,4D), cont (1,N); tops c, h (1,N,D). */
#include "engine/layers/lstm_unit.h"

#include <math.h>
#include <string.h>

#include "engine/plan.h"

/* Items from which other threads pay. */
#define PARALLEL 4096

static inline float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

void lstm_unit_forward(size_t n, size_t d, const float *cont, const float *c_before, float *gates, float *c,
                       float *h)
{
#pragma omp parallel for if (n * d >= PARALLEL)
    for (size_t k = 0; k < n * d; k++) {
        size_t row = k / d;
        float *gate = gates + row * 3 * d + k; /* row * 4d + column */
        float i = sigmoid(gate[0]), f = cont[row] == 0 ? 0 : cont[row] * sigmoid(gate[d]);
        float o = sigmoid(gate[2 * d]), g = tanhf(gate[3 * d]);
        gate[0] = i;
        gate[d] = f;
        gate[2 * d] = o;
        gate[3 * d] = g;
        c[k] = f * c_before[k] + i * g;
        h[k] = o * tanhf(c[k]);
    }
}

void lstm_unit_backward(size_t n, size_t d, const float *c_before, const float *gates, const float *c,
                        const float *dh, const float *dc, float *dgates, float *dc_before)
{
#pragma omp parallel for if (n * d >= PARALLEL)
    for (size_t k = 0; k < n * d; k++) {
        size_t at = k / d * 3 * d + k;
        const float *gate = gates + at;
        float *dgate = dgates + at;
        float i = gate[0], f = gate[d], o = gate[2 * d], g = gate[3 * d], tanh_c = tanhf(c[k]);
        float through_c = (dc ? dc[k] : 0) + dh[k] * o * (1 - tanh_c * tanh_c);
        dgate[0] = through_c * g * i * (1 - i);
        /* With the f that cont has been multiplied into, as Caffe does. */
        dgate[d] = through_c * c_before[k] * f * (1 - f);
        dgate[2 * d] = dh[k] * tanh_c * o * (1 - o);
        dgate[3 * d] = through_c * i * (1 - g * g);
        if (dc_before)
            dc_before[k] = through_c * f;
    }
}

/* ---- the layer ---- */

struct lstm_unit {
    size_t n, d;
};

static enum status lstm_unit_setup(struct layer *l, struct error *err)
{
    (void)err;
    struct lstm_unit *s = l->state;
    s->n = (size_t)l->bottoms[0].shape.dim[1];
    s->d = (size_t)l->bottoms[0].shape.dim[2];
    return OK;
}

/* Workspace: the gates after their nonlinearity; scratch: their gradient when nobody wants it. */
static enum status lstm_unit_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    size_t bytes = (size_t)shape_count(&l->bottoms[1].shape) * sizeof(float);
    plan_workspace(p, bytes);
    plan_scratch(p, bytes);
    return OK;
}

static enum status forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct lstm_unit *s = l->state;
    float *gates = l->workspace;
    memcpy(gates, l->bottoms[1].data, 4 * s->n * s->d * sizeof(float));
    lstm_unit_forward(s->n, s->d, l->bottoms[2].data, l->bottoms[0].data, gates, l->tops[0].data,
                      l->tops[1].data);
    return OK;
}

static void backward(struct layer *l)
{
    const struct lstm_unit *s = l->state;
    float *dgates = l->bottoms[1].diff ? l->bottoms[1].diff : l->scratch;
    lstm_unit_backward(s->n, s->d, l->bottoms[0].data, l->workspace, l->tops[0].data, l->tops[1].diff,
                       l->tops[0].diff, dgates, l->bottoms[0].diff);
}

const struct layer_ops layer_lstm_unit = {
    .type = "LSTMUnit",
    .state_size = sizeof(struct lstm_unit),
    .backward_needs = NEEDS_BOTTOM_DATA | NEEDS_TOP_DATA,
    .setup = lstm_unit_setup,
    .plan = lstm_unit_plan,
    .forward = forward,
    .backward = backward,
};
