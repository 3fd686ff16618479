/* Layers whose weights meet the whole of a vector: InnerProduct, Embed and the recurrent ones. */
#include "netdef/shapes.h"

#include <limits.h>

static enum status check_num_output(struct shaping *s, uint32_t num_output)
{
    if (num_output < 1 || num_output > INT_MAX / 4)
        return shape_error(s, "num_output must be at least 1");
    return OK;
}

static int64_t product(int64_t a, int64_t b)
{
    int64_t result;
    return __builtin_mul_overflow(a, b, &result) ? 0 : result;
}

/* bottom (M..., K...), top (M..., N), weights (N, K) or transposed (K, N), bias (N) */
enum status shape_inner_product(struct shaping *s)
{
    const Caffe__InnerProductParameter *param = s->param->inner_product_param;
    if (!param)
        return shape_error(s, "inner_product_param { num_output: ... } is missing");
    TRY(check_num_output(s, param->num_output));
    struct shape weights = shape_unknown;
    int axis;
    if (bottoms_known(s)) {
        const struct shape *bottom = s->bottoms[0];
        TRY(bottom_axis(s, 0, param->axis, &axis));
        int64_t n = param->num_output, k = shape_count_range(bottom, axis, bottom->n_axes);
        if (k > INT_MAX)
            return shape_error(s, "the bottom has too many elements");
        weights = shape_of(2, param->transpose ? (int64_t[]){k, n} : (int64_t[]){n, k});
        s->tops[0] = *bottom;
        s->tops[0].n_axes = axis + 1;
        s->tops[0].dim[axis] = (int)n;
        s->operations = product(2 * shape_count_range(bottom, 0, axis), n * k);
    }
    declare_param(s, weights, param->weight_filler);
    if (param->bias_term)
        declare_param(s, shape_vector(param->num_output), param->bias_filler);
    return OK;
}

/* bottom (any), top (any, N), weights (input_dim, N), bias (N) */
enum status shape_embed(struct shaping *s)
{
    const Caffe__EmbedParameter *param = s->param->embed_param;
    if (!param || !param->input_dim || param->input_dim > INT_MAX)
        return shape_error(s, "embed_param's input_dim must be at least 1");
    TRY(check_num_output(s, param->num_output));
    declare_param(s, shape_of(2, (int64_t[]){param->input_dim, param->num_output}), param->weight_filler);
    if (param->bias_term)
        declare_param(s, shape_vector(param->num_output), param->bias_filler);
    if (!bottoms_known(s))
        return OK;
    if (s->bottoms[0]->n_axes == SHAPE_MAX_AXES)
        return shape_error(s, "the top would have more than %d axes", SHAPE_MAX_AXES);
    s->tops[0] = *s->bottoms[0];
    s->tops[0].dim[s->tops[0].n_axes++] = (int)param->num_output;
    return OK;
}

/* Time and streams of x (T, N, ...) and cont (T, N) must agree; x_static is (N, ...). */
static enum status check_sequence(struct shaping *s, bool has_static)
{
    char text_x[BOTTOM_TEXT_MAX], text[BOTTOM_TEXT_MAX];
    const struct shape *x = s->bottoms[0], *cont = s->bottoms[1];
    if (shape_is_known(x) && (x->n_axes < 2 || x->dim[0] < 1))
        return shape_error(s, "%s must have at least 2 axes (time steps, streams, ...)",
                           bottom_text(s, 0, text_x));
    if (shape_is_known(x) && shape_is_known(cont) &&
        (cont->n_axes != 2 || cont->dim[0] != x->dim[0] || cont->dim[1] != x->dim[1]))
        return shape_error(s, "%s must be the time steps and streams of %s", bottom_text(s, 1, text),
                           bottom_text(s, 0, text_x));
    if (has_static && shape_is_known(x) && shape_is_known(s->bottoms[2]) &&
        (s->bottoms[2]->n_axes < 1 || s->bottoms[2]->dim[0] != x->dim[1]))
        return shape_error(s, "%s must begin with the %d streams of %s", bottom_text(s, 2, text), x->dim[1],
                           bottom_text(s, 0, text_x));
    return OK;
}

struct recurrence {
    int n_hidden; /* blobs carried from step to step: 2 (h, c) or 1 (h) */
    int n_gates;  /* rows of the hidden weights, in num_outputs */
    bool has_output_weights;
};

/* Elements an x axis from first on: what one time step (or stream) feeds in. */
static struct shape input_weights(const struct shape *x, int first, int64_t rows)
{
    if (!shape_is_known(x))
        return shape_unknown;
    return shape_of(2, (int64_t[]){rows, shape_count_range(x, first, x->n_axes)});
}

/*
 * bottoms x (T, N, ...), cont (T, N), [x_static (N, ...)], [hidden (1, N, D)...]
 * tops    (T, N, D), [hidden (1, N, D)...]
 * params  W_x (G*D, x), b (G*D), [W_static (G*D, x_static)], W_h (G*D, D), [W_o (D, D), b_o (D)]
 */
static enum status shape_recurrent(struct shaping *s, const struct recurrence *r)
{
    static const Caffe__RecurrentParameter none = CAFFE__RECURRENT_PARAMETER__INIT;
    const Caffe__RecurrentParameter *param = s->param->recurrent_param ? s->param->recurrent_param : &none;
    TRY(check_num_output(s, param->num_output));
    int n_exposed = param->expose_hidden ? r->n_hidden : 0;
    if (s->n_bottoms < 2 + n_exposed || s->n_bottoms > 3 + n_exposed || s->n_tops != 1 + n_exposed)
        return shape_error(
            s, "%d bottoms and %d tops; with expose_hidden: %s it takes %d or %d bottoms and %d tops",
            s->n_bottoms, s->n_tops, n_exposed ? "true" : "false", 2 + n_exposed, 3 + n_exposed,
            1 + n_exposed);
    bool has_static = s->n_bottoms == 3 + n_exposed;
    TRY(check_sequence(s, has_static));
    int64_t d = param->num_output, rows = r->n_gates * d, n_weights = 0;
    const struct shape *x = s->bottoms[0];
    declare_param(s, input_weights(x, 2, rows), param->weight_filler);
    declare_param(s, shape_vector(rows), param->bias_filler);
    if (has_static)
        declare_param(s, input_weights(s->bottoms[2], 1, rows), param->weight_filler);
    declare_param(s, shape_of(2, (int64_t[]){rows, d}), param->weight_filler);
    if (r->has_output_weights) {
        declare_param(s, shape_of(2, (int64_t[]){d, d}), param->weight_filler);
        declare_param(s, shape_vector(d), param->bias_filler);
    }
    if (!shape_is_known(x))
        return OK;
    struct shape hidden = shape_of(3, (int64_t[]){1, x->dim[1], d});
    char text[BOTTOM_TEXT_MAX], wanted[SHAPE_TEXT_MAX];
    for (int i = 0; i < n_exposed; i++) {
        int bottom = 2 + has_static + i;
        if (shape_is_known(s->bottoms[bottom]) && !shape_equal(s->bottoms[bottom], &hidden))
            return shape_error(s, "%s must have shape %s, as the hidden state has",
                               bottom_text(s, bottom, text), shape_text(&hidden, wanted));
        s->tops[1 + i] = hidden;
    }
    s->tops[0] = shape_of(3, (int64_t[]){x->dim[0], x->dim[1], d});
    for (int i = 0; i < s->n_params; i++) {
        int64_t n = s->params[i].shape.n_axes == 2 ? shape_count(&s->params[i].shape) : 0;
        if (__builtin_add_overflow(n_weights, n, &n_weights))
            return shape_error(s, "the weights are too large");
    }
    s->operations = product(2 * (int64_t)x->dim[0] * x->dim[1], n_weights);
    return OK;
}

enum status shape_lstm(struct shaping *s)
{
    return shape_recurrent(s, &(struct recurrence){.n_hidden = 2, .n_gates = 4});
}

enum status shape_rnn(struct shaping *s)
{
    return shape_recurrent(s, &(struct recurrence){.n_hidden = 1, .n_gates = 1, .has_output_weights = true});
}

/* bottoms c (1, N, D), gates (1, N, 4*D), cont (1, N); tops c, h (1, N, D) */
enum status shape_lstm_unit(struct shaping *s)
{
    if (!bottoms_known(s))
        return OK;
    const struct shape *c = s->bottoms[0], *gates = s->bottoms[1];
    char text[BOTTOM_TEXT_MAX], text_c[BOTTOM_TEXT_MAX];
    for (int i = 0; i < 3; i++) {
        TRY(check_n_axes(s, i, i == 2 ? 2 : 3));
        if (s->bottoms[i]->dim[0] != 1 || s->bottoms[i]->dim[1] != c->dim[1])
            return shape_error(s, "%s must begin with 1 and the %d streams of %s", bottom_text(s, i, text),
                               c->dim[1], bottom_text(s, 0, text_c));
    }
    if (gates->dim[2] != 4 * (int64_t)c->dim[2])
        return shape_error(s, "%s must have 4 gates for each of the %d cells of %s", bottom_text(s, 1, text),
                           c->dim[2], bottom_text(s, 0, text_c));
    s->tops[0] = s->tops[1] = *c;
    return OK;
}
