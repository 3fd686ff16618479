/*
 * Properties: on shapes drawn by chance (always the same ones), layers that
 * run on oneDNN give what the plain formula gives, forward and backward,
 * whatever the layout of their bottom.
 */
#include <float.h>
#include <math.h>

#include "gradient_check.h"
#include "plain_convolution.h"

enum { DRAWS = 40 };

static struct rng dice;

/* low..high, both included. */
static int draw(int low, int high)
{
    return low + (int)rng_below(&dice, (uint32_t)(high - low + 1));
}

/* Channels that make plain, channels-last and blocked layouts. */
static int draw_channels(void)
{
    static const int liked[] = {1, 3, 5, 8, 16, 20, 32, 48};
    return liked[draw(0, 7)];
}

/* One layer between 'x' (N,C,H,W) and 'y'; x comes from outside or out of a convolution, in its layout. */
struct trial {
    struct net *net;
    int n, c, h, w;
    int64_t nx, ny;
    float *x, *y, *dx, *dy;
};

static void trial_release(struct trial *t)
{
    net_free(t->net);
    free(t->x);
    free(t->y);
    free(t->dx);
    free(t->dy);
}

static struct trial run_trial(int n, int c, int h, int w, const char *layer)
{
    struct trial t = {.n = n, .c = c, .h = h, .w = w, .nx = (int64_t)n * c * h * w};
    bool convolved = draw(0, 1);
    CLEANUP(freep)
    char *before =
        convolved ? xasprintf("layer { name: 'before' type: 'Convolution' bottom: 'in' top: 'x'\n"
                              "  convolution_param { num_output: %d kernel_size: 1\n"
                              "    weight_filler { type: 'xavier' } bias_filler { type: 'gaussian' } } }\n",
                              c)
                  : xstrdup("");
    CLEANUP(freep)
    char *text =
        xasprintf("force_backward: true name: '%s'\n"
                  "layer { name: 'in' type: 'Input' top: '%s' input_param {\n"
                  "  shape { dim: %d dim: %d dim: %d dim: %d } } }\n%s"
                  "layer { name: 'tried' bottom: 'x' top: 'y' loss_weight: 1 %s }",
                  convolved ? "in a layout" : "plain", convolved ? "in" : "x", n, c, h, w, before, layer);
    struct error err = {0};
    t.net = net_from_text(text);
    fill_inputs(t.net, rng_next(&dice), -1, 1);
    t.ny = shape_count(&net_def(t.net)->blobs[blob_index(t.net, "y")].shape);
    t.dy = plain_zeros(t.ny);
    fill_random(rng_next(&dice), -1, 1, t.ny, t.dy);
    set_top_diff(t.net, "y", t.dy);
    assert_ok(net_forward(t.net, NULL, &err));
    net_clear_diffs(t.net);
    net_backward(t.net);
    t.x = blob_values(t.net, "x");
    t.y = blob_values(t.net, "y");
    t.dx = blob_diffs(t.net, "x");
    return t;
}

static void check(const struct trial *t, const char *layer, const char *what, const float *got,
                  const float *wanted, int64_t n)
{
    double worst = largest_difference(got, wanted, n);
    if (!(worst < 3e-5))
        fail_msg("%s of %s\non (%d,%d,%d,%d), %s: off by %g", what, layer, t->n, t->c, t->h, t->w,
                 net_def(t->net)->name, worst);
}

/* The tried layer's first parameter. */
static int first_param(const struct trial *t)
{
    const struct netdef *def = net_def(t->net);
    return def->layers[netdef_find_layer(def, "tried")].params[0];
}

static void add_bias(const struct trial *t, int channels, const float *bias, float *y, float *ret_db)
{
    int64_t plane = t->ny / t->n / channels;
    for (int64_t i = 0; i < t->ny; i++) {
        y[i] += bias[i / plane % channels];
        ret_db[i / plane % channels] += t->dy[i];
    }
}

/* ---- Convolution and Deconvolution ---- */

struct settings {
    int n, group, in, out, kernel[2], stride[2], pad[2], dilation, size[2];
};

static struct settings draw_settings(void)
{
    struct settings s = {.group = draw(0, 2) ? 1 : draw(2, 4), .in = draw_channels(), .out = draw_channels()};
    if (s.group > 1) {
        s.in = s.group * draw(1, 3) * (draw(0, 1) ? 1 : 8);
        s.out = s.group * draw(1, 3) * (draw(0, 1) ? 1 : 8);
    }
    for (int i = 0; i < 2; i++) {
        s.kernel[i] = draw(1, 4);
        s.stride[i] = draw(1, 3);
        s.pad[i] = draw(0, s.kernel[i] - 1);
        s.size[i] = draw(7, 10);
    }
    s.dilation = draw(0, 2) ? 1 : 2;
    s.n = draw(1, 3);
    return s;
}

/* What is done by Winograd's algorithm. */
static struct settings draw_winograd(void)
{
    struct settings s = {.n = draw(6, 9), .group = draw(1, 2), .stride = {1, 1}, .dilation = 1};
    int kernel = draw(0, 2) ? 5 : 3;
    s.in = s.group * (draw(0, 1) ? draw(16, 37) : 16 * draw(1, 2));
    s.out = s.group * (draw(0, 1) ? draw(16, 37) : 16 * draw(1, 2));
    for (int i = 0; i < 2; i++) {
        s.kernel[i] = kernel;
        s.pad[i] = draw(0, kernel);
        s.size[i] = draw(9, 15);
    }
    return s;
}

static void try_convolution(struct settings s, bool transposed)
{
    const int group = s.group, in = s.in, out = s.out, dilation = s.dilation;
    const int *kernel = s.kernel, *stride = s.stride, *pad = s.pad, *size = s.size;
    CLEANUP(freep)
    char *layer =
        xasprintf("type: '%s' convolution_param { num_output: %d group: %d kernel_h: %d kernel_w: %d\n"
                  "  stride_h: %d stride_w: %d pad_h: %d pad_w: %d dilation: %d\n"
                  "  weight_filler { type: 'gaussian' std: 0.3 } bias_filler { type: 'gaussian' } }",
                  transposed ? "Deconvolution" : "Convolution", out, group, kernel[0], kernel[1], stride[0],
                  stride[1], pad[0], pad[1], dilation);
    CLEANUP(trial_release) struct trial t = run_trial(s.n, in, size[0], size[1], layer);
    int param = first_param(&t);
    CLEANUP(freep) float *w = param_values(t.net, param), *b = param_values(t.net, param + 1);
    CLEANUP(freep) float *dw = param_diffs(t.net, param), *db = param_diffs(t.net, param + 1);
    CLEANUP(freep) float *y = plain_zeros(t.ny), *dx = plain_zeros(t.nx), *want_db = plain_zeros(out);
    int64_t nw = shape_count(&net_param(t.net, param)->def->shape);
    CLEANUP(freep) float *want_dw = plain_zeros(nw);
    struct plain_convolution c = {
        .n = t.n,
        .in = in,
        .out = out,
        .group = group,
        .size = {1, size[0], size[1]},
        .kernel = {1, kernel[0], kernel[1]},
        .stride = {1, stride[0], stride[1]},
        .pad = {0, pad[0], pad[1]},
        .dilation = {1, dilation, dilation},
    };
    if (!transposed) {
        plain_convolution_size(&c);
        plain_convolution_forward(&c, t.x, w, y);
        plain_convolution_backward(&c, t.x, w, t.dy, dx, want_dw);
    } else {
        /* The convolution from the top to the bottom, with its forward and backward exchanged. */
        const struct shape *top = &net_def(t.net)->blobs[blob_index(t.net, "y")].shape;
        c.in = out, c.out = in;
        c.size[1] = top->dim[2], c.size[2] = top->dim[3];
        plain_convolution_size(&c);
        assert_int_equal(c.top[1], size[0]);
        assert_int_equal(c.top[2], size[1]);
        plain_convolution_backward(&c, t.dy, w, t.x, y, want_dw);
        plain_convolution_forward(&c, t.dy, w, dx);
    }
    add_bias(&t, out, b, y, want_db);
    check(&t, layer, "y", t.y, y, t.ny);
    check(&t, layer, "dx", t.dx, dx, t.nx);
    check(&t, layer, "dw", dw, want_dw, nw);
    check(&t, layer, "db", db, want_db, out);
}

static void convolutions(void **state)
{
    (void)state;
    for (int i = 0; i < DRAWS; i++)
        try_convolution(draw_settings(), false);
}

static void convolutions_by_winograds_algorithm(void **state)
{
    (void)state;
    for (int i = 0; i < DRAWS / 2; i++)
        try_convolution(draw_winograd(), false);
}

static void deconvolutions(void **state)
{
    (void)state;
    for (int i = 0; i < DRAWS; i++)
        try_convolution(draw_settings(), true);
}

/* ---- InnerProduct ---- */

static void inner_products(void **state)
{
    (void)state;
    for (int i = 0; i < DRAWS; i++) {
        int axis = draw(1, 3), out = draw(1, 40);
        bool transpose = draw(0, 1);
        CLEANUP(freep)
        char *layer =
            xasprintf("type: 'InnerProduct' inner_product_param { num_output: %d axis: %d transpose: %s\n"
                      "  weight_filler { type: 'gaussian' std: 0.3 } }",
                      out, axis, transpose ? "true" : "false");
        CLEANUP(trial_release)
        struct trial t = run_trial(draw(1, 9), draw_channels(), draw(1, 6), draw(1, 6), layer);
        int64_t rows = t.ny / out, k = t.nx / rows;
        int param = first_param(&t);
        CLEANUP(freep) float *w = param_values(t.net, param), *dw = param_diffs(t.net, param);
        CLEANUP(freep) float *db = param_diffs(t.net, param + 1);
        CLEANUP(freep) float *y = plain_zeros(t.ny), *dx = plain_zeros(t.nx);
        CLEANUP(freep) float *want_dw = plain_zeros(out * k), *want_db = plain_zeros(out);
        for (int64_t m = 0; m < rows; m++)
            for (int64_t o = 0; o < out; o++) {
                want_db[o] += t.dy[m * out + o];
                for (int64_t j = 0; j < k; j++) {
                    int64_t at = transpose ? j * out + o : o * k + j;
                    y[m * out + o] += t.x[m * k + j] * w[at];
                    dx[m * k + j] += t.dy[m * out + o] * w[at];
                    want_dw[at] += t.dy[m * out + o] * t.x[m * k + j];
                }
            }
        check(&t, layer, "y", t.y, y, t.ny);
        check(&t, layer, "dx", t.dx, dx, t.nx);
        check(&t, layer, "dw", dw, want_dw, out * k);
        check(&t, layer, "db", db, want_db, out);
    }
}

/* ---- Pooling ---- */

struct windows {
    int kernel, stride, pad, size, n;
};

/* Caffe's: rounded up, and no last window that starts in the padding. */
static struct windows draw_windows(int size)
{
    struct windows w = {.kernel = draw(1, 4), .size = size};
    w.stride = draw(1, w.kernel); /* a larger stride may leave the last window empty */
    w.pad = draw(0, w.kernel - 1);
    w.n = (size + 2 * w.pad - w.kernel + w.stride - 1) / w.stride + 1;
    if (w.pad && (w.n - 1) * w.stride >= size + w.pad)
        w.n--;
    return w;
}

static void pool_plane(const struct windows *h, const struct windows *w, bool is_max, const float *x,
                       const float *dy, float *y, float *dx)
{
    for (int i = 0; i < h->n * w->n; i++) {
        int top = i / w->n * h->stride - h->pad, left = i % w->n * w->stride - w->pad;
        int bottom = MIN(top + h->kernel, h->size + h->pad), right = MIN(left + w->kernel, w->size + w->pad);
        float positions = (float)((bottom - top) * (right - left)), best = -FLT_MAX, sum = 0;
        int at = -1;
        for (int a = MAX(top, 0); a < MIN(bottom, h->size); a++)
            for (int b = MAX(left, 0); b < MIN(right, w->size); b++) {
                int k = a * w->size + b;
                sum += x[k];
                if (x[k] > best) {
                    best = x[k];
                    at = k;
                }
                if (!is_max)
                    dx[k] += dy[i] / positions;
            }
        if (is_max && at >= 0)
            dx[at] += dy[i];
        y[i] = is_max ? best : sum / positions;
    }
}

static void poolings(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * DRAWS; i++) {
        bool is_max = i % 2;
        struct windows h = draw_windows(draw(5, 11)), w = draw_windows(draw(5, 11));
        CLEANUP(freep)
        char *layer =
            xasprintf("type: 'Pooling' pooling_param { pool: %s kernel_h: %d kernel_w: %d stride_h: %d\n"
                      "  stride_w: %d pad_h: %d pad_w: %d }",
                      is_max ? "MAX" : "AVE", h.kernel, w.kernel, h.stride, w.stride, h.pad, w.pad);
        CLEANUP(trial_release) struct trial t = run_trial(draw(1, 2), draw_channels(), h.size, w.size, layer);
        int in = h.size * w.size, out = h.n * w.n;
        assert_int_equal(t.ny, (int64_t)t.n * t.c * out);
        CLEANUP(freep) float *y = plain_zeros(t.ny), *dx = plain_zeros(t.nx);
        for (int p = 0; p < t.n * t.c; p++)
            pool_plane(&h, &w, is_max, t.x + p * in, t.dy + p * out, y + p * out, dx + p * in);
        check(&t, layer, "y", t.y, y, t.ny);
        check(&t, layer, "dx", t.dx, dx, t.nx);
    }
}

/* ---- LRN ---- */

/* Both formulas over one position's channels, in double. */
static void normalize_channels(const struct trial *t, int size, double alpha, double beta, double k,
                               int64_t first, int64_t step, float *y, float *dx)
{
    for (int c = 0; c < t->c; c++) {
        double ratio_sum = 0;
        for (int o = MAX(0, c - size / 2); o <= MIN(t->c - 1, c + size / 2); o++) {
            double scale = k;
            for (int i = MAX(0, o - size / 2); i <= MIN(t->c - 1, o + size / 2); i++)
                scale += alpha / size * pow(t->x[first + i * step], 2);
            double value = t->x[first + o * step] * pow(scale, -beta), d = t->dy[first + o * step];
            ratio_sum += d * value / scale;
            if (o == c) {
                y[first + o * step] = (float)value;
                dx[first + o * step] = (float)(d * pow(scale, -beta));
            }
        }
        dx[first + c * step] -= (float)(2 * alpha * beta / size * t->x[first + c * step] * ratio_sum);
    }
}

static void local_response_normalizations(void **state)
{
    (void)state;
    for (int i = 0; i < DRAWS; i++) {
        int size = draw(0, 1) ? 5 : 1 + 2 * draw(0, 3);
        double alpha = draw(1, 20) / 20.0, beta = draw(0, 1) ? 0.75 : draw(1, 8) / 8.0, k = draw(1, 4);
        CLEANUP(freep)
        char *layer = xasprintf("type: 'LRN' lrn_param { local_size: %d alpha: %g beta: %g k: %g }", size,
                                alpha, beta, k);
        CLEANUP(trial_release)
        struct trial t = run_trial(draw(1, 2), draw_channels(), draw(1, 7), draw(1, 7), layer);
        CLEANUP(freep) float *y = plain_zeros(t.ny), *dx = plain_zeros(t.nx);
        int64_t plane = (int64_t)t.h * t.w;
        for (int64_t p = 0; p < t.n * plane; p++)
            normalize_channels(&t, size, alpha, beta, k, p / plane * t.c * plane + p % plane, plane, y, dx);
        check(&t, layer, "y", t.y, y, t.ny);
        check(&t, layer, "dx", t.dx, dx, t.nx);
    }
}

/* ---- BatchNorm ---- */

static void batch_normalizations(void **state)
{
    (void)state;
    const double eps = 1e-2;
    for (int i = 0; i < DRAWS; i++) {
        static const char layer[] = "type: 'BatchNorm' batch_norm_param { eps: 1e-2 }";
        CLEANUP(trial_release)
        struct trial t = run_trial(draw(2, 4), draw_channels(), draw(1, 7), draw(2, 7), layer);
        CLEANUP(freep) float *y = plain_zeros(t.ny), *dx = plain_zeros(t.nx);
        int64_t plane = (int64_t)t.h * t.w, m = t.n * plane;
        for (int c = 0; c < t.c; c++) {
            double mean = 0, variance = 0, mean_dy = 0, mean_dy_y = 0;
#define EACH(statement)                                                                                      \
    for (int64_t p = 0; p < m; p++) {                                                                        \
        int64_t at = (p / plane * t.c + c) * plane + p % plane;                                              \
        statement;                                                                                           \
    }
            EACH(mean += t.x[at] / (double)m)
            EACH(variance += (t.x[at] - mean) * (t.x[at] - mean) / (double)m)
            EACH(y[at] = (float)((t.x[at] - mean) / sqrt(variance + eps)))
            EACH((mean_dy += t.dy[at] / (double)m, mean_dy_y += t.dy[at] * (double)y[at] / (double)m))
            EACH(dx[at] = (float)((t.dy[at] - mean_dy - mean_dy_y * y[at]) / sqrt(variance + eps)))
        }
        check(&t, layer, "y", t.y, y, t.ny);
        check(&t, layer, "dx", t.dx, dx, t.nx);
    }
}

/* ---- Softmax ---- */

static void softmaxes(void **state)
{
    (void)state;
    for (int i = 0; i < DRAWS; i++) {
        int axis = draw(0, 3);
        CLEANUP(freep) char *layer = xasprintf("type: 'Softmax' softmax_param { axis: %d }", axis);
        CLEANUP(trial_release)
        struct trial t = run_trial(draw(1, 4), draw_channels(), draw(1, 7), draw(1, 7), layer);
        const int dims[] = {t.n, t.c, t.h, t.w};
        int64_t inner = 1;
        for (int a = axis + 1; a < 4; a++)
            inner *= dims[a];
        CLEANUP(freep) float *y = plain_zeros(t.ny), *dx = plain_zeros(t.nx);
        for (int64_t row = 0; row < t.nx / dims[axis]; row++) {
            int64_t first = row / inner * dims[axis] * inner + row % inner;
            double sum = 0, along = 0;
            for (int k = 0; k < dims[axis]; k++)
                sum += exp(t.x[first + k * inner]);
            for (int k = 0; k < dims[axis]; k++) {
                y[first + k * inner] = (float)(exp(t.x[first + k * inner]) / sum);
                along += (double)t.dy[first + k * inner] * y[first + k * inner];
            }
            for (int k = 0; k < dims[axis]; k++)
                dx[first + k * inner] = (float)(y[first + k * inner] * (t.dy[first + k * inner] - along));
        }
        check(&t, layer, "y", t.y, y, t.ny);
        check(&t, layer, "dx", t.dx, dx, t.nx);
    }
}

/* ---- Concat ---- */

/* x itself, and x after one and after two convolutions, joined: layouts agree, or most of them, or few. */
static void concatenations(void **state)
{
    (void)state;
    for (int i = 0; i < DRAWS; i++) {
        struct error err = {0};
        int parts[3] = {draw_channels(), draw_channels(), draw_channels()}, n = draw(1, 3), h = draw(1, 6);
        CLEANUP(freep)
        char *text = xasprintf(
            "force_backward: true\n"
            "layer { name: 'in' type: 'Input' top: 'x' input_param {\n"
            "  shape { dim: %d dim: %d dim: %d dim: 5 } } }\n"
            "layer { name: 'a' type: 'Convolution' bottom: 'x' top: 'a' convolution_param {\n"
            "  num_output: %d kernel_size: 1 weight_filler { type: 'xavier' } } }\n"
            "layer { name: 'b' type: 'Convolution' bottom: 'a' top: 'b' convolution_param {\n"
            "  num_output: %d kernel_size: 1 weight_filler { type: 'xavier' } } }\n"
            "layer { name: 'p' type: 'Power' bottom: 'x' top: 'c' }\n"
            "layer { name: 'y' type: 'Concat' bottom: 'a' bottom: 'b' bottom: 'c' top: 'y' loss_weight: 1 }",
            n, parts[0], h, parts[1], parts[2]);
        CLEANUP(net_freep) struct net *net = net_from_text(text);
        fill_inputs(net, rng_next(&dice), -1, 1);
        const char *const names[] = {"a", "b", "c"};
        const int channels[] = {parts[1], parts[2], parts[0]};
        int64_t plane = h * 5, row = (parts[0] + parts[1] + parts[2]) * plane, ny = n * row;
        CLEANUP(freep) float *dy = plain_zeros(ny);
        fill_random(rng_next(&dice), -1, 1, ny, dy);
        set_top_diff(net, "y", dy);
        assert_ok(net_forward(net, NULL, &err));
        net_backward(net);
        CLEANUP(freep) float *y = blob_values(net, "y");
        int64_t at = 0;
        for (int k = 0; k < 3; k++) {
            CLEANUP(freep) float *x = blob_values(net, names[k]), *dx = blob_diffs(net, names[k]);
            int64_t piece = channels[k] * plane;
            for (int m = 0; m < n; m++) {
                const float *joined = y + m * row + at, *d = dy + m * row + at;
                assert_memory_equal(joined, x + m * piece, (size_t)piece * sizeof(float));
                if (k > 0) /* a is read twice */
                    assert_memory_equal(d, dx + m * piece, (size_t)piece * sizeof(float));
            }
            at += piece;
        }
    }
}

/* ---- Convolution, BatchNorm, Scale, ReLU for predictions ---- */

/* In place, or each with a top of its own; with the convolution's own bias or not. */
static void predictions(void **state)
{
    (void)state;
    struct error err = {0};
    for (int i = 0; i < DRAWS; i++) {
        bool in_place = draw(0, 1), is_rectified = draw(0, 1);
        const char *norm = in_place ? "a" : "b", *scaled = in_place ? "a" : "c";
        int kernel = 1 + 2 * draw(0, 2), n = draw(1, 8), from = draw_channels(), to = draw_channels();
        CLEANUP(freep)
        char *text = xasprintf(
            "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: %d dim: %d dim: %d dim: %d } } }\n"
            "layer { name: 'conv' type: 'Convolution' bottom: 'x' top: 'a' convolution_param {\n"
            "  num_output: %d kernel_size: %d pad: %d bias_term: %s weight_filler { type: 'xavier' }\n"
            "  bias_filler { type: 'gaussian' } } }\n"
            "layer { name: 'norm' type: 'BatchNorm' bottom: 'a' top: '%s' }\n"
            "layer { name: 'scale' type: 'Scale' bottom: '%s' top: '%s' scale_param { bias_term: true } }\n"
            "layer { name: 'end' type: '%s' bottom: '%s' top: 'y' }",
            n, from, draw(3, 14), draw(3, 14), to, kernel, kernel / 2, draw(0, 1) ? "true" : "false", norm,
            norm, scaled, is_rectified ? "ReLU" : "Power", scaled);
        struct net_options each_apart = {.threads = 2, .seed = 1, .keep_blobs = true};
        struct net_options together = {.threads = 2, .seed = 1, .inference = true};
        CLEANUP(net_freep) struct net *slow = net_from_text_with(text, &each_apart, CAFFE__PHASE__TEST);
        CLEANUP(net_freep) struct net *fast = net_from_text_with(text, &together, CAFFE__PHASE__TEST);
        for (int change = 0; change < 2; change++) {
            for (int p = 0; p < net_n_params(slow); p++) {
                int64_t count = shape_count(&net_def(slow)->params[p].shape);
                CLEANUP(freep) float *values = plain_zeros(count);
                fill_random(rng_next(&dice), 0.1f, 1, count, values);
                param_set(slow, p, values);
                param_set(fast, p, values);
            }
            uint64_t inputs = rng_next(&dice);
            fill_inputs(slow, inputs, -1, 1);
            fill_inputs(fast, inputs, -1, 1);
            assert_ok(net_forward(slow, NULL, &err));
            assert_ok(net_forward(fast, NULL, &err));
            CLEANUP(freep) float *y = blob_values(fast, "y"), *wanted = blob_values(slow, "y");
            int64_t count = shape_count(&net_def(slow)->blobs[blob_index(slow, "y")].shape);
            if (largest_difference(y, wanted, count) > 1e-4)
                fail_msg("predictions differ by %g in\n%s", largest_difference(y, wanted, count), text);
        }
    }
}

static int seed(void **state)
{
    (void)state;
    rng_seed(&dice, 20240607);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(convolutions, seed),
        cmocka_unit_test_setup(convolutions_by_winograds_algorithm, seed),
        cmocka_unit_test_setup(deconvolutions, seed),
        cmocka_unit_test_setup(inner_products, seed),
        cmocka_unit_test_setup(poolings, seed),
        cmocka_unit_test_setup(local_response_normalizations, seed),
        cmocka_unit_test_setup(batch_normalizations, seed),
        cmocka_unit_test_setup(softmaxes, seed),
        cmocka_unit_test_setup(concatenations, seed),
        cmocka_unit_test_setup(predictions, seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
