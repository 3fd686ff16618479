#include <float.h>
#include <math.h>

#include "engine/vectors/pooling.h"
#include "gradient_check.h"
#include "processor.h"

struct row {
    const char *name, *settings;
    int h, w, top_h, top_w;
};

/* Sizes worked by hand from Caffe's rule: round up, and drop a last window that starts in the padding. */
static const struct row rows[] = {
    {"3x3/1", "kernel_size: 3", 7, 6, 5, 4},
    {"2x2/2, even", "kernel_size: 2 stride: 2", 8, 6, 4, 3},
    {"2x2/2 hangs over", "kernel_size: 2 stride: 2", 7, 6, 4, 3},
    {"3x3/2 hangs over", "kernel_size: 3 stride: 2", 32, 32, 16, 16},
    {"2x2/2 pad 1: the last window is dropped", "kernel_size: 2 stride: 2 pad: 1", 5, 5, 3, 3},
    {"3x3/2 pad 1", "kernel_size: 3 stride: 2 pad: 1", 7, 6, 4, 4},
    {"5x5/3 pad 2: padding and overhang meet", "kernel_size: 5 stride: 3 pad: 2", 7, 6, 3, 3},
    {"oblong", "kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0", 7, 6, 4, 5},
    {"gaps", "kernel_size: 2 stride: 3", 8, 8, 3, 3},
    {"rounds down", "kernel_size: 3 stride: 2 round_mode: FLOOR", 8, 8, 3, 3},
    {"the whole image", "global_pooling: true", 5, 4, 1, 1},
    {"an empty last window", "kernel_size: 1 stride: 2", 6, 5, 4, 3},
};

struct window {
    int kernel, stride, pad;
};

static void read_windows(const struct row *r, struct window *h, struct window *w)
{
    int kernel = 0, stride = 1, pad = 0;
    *h = *w = (struct window){0, 1, 0};
    if (strstr(r->settings, "kernel_h")) {
        *h = (struct window){3, 2, 1};
        *w = (struct window){2, 1, 0};
        return;
    }
    if (strstr(r->settings, "global")) {
        *h = (struct window){r->h, 1, 0};
        *w = (struct window){r->w, 1, 0};
        return;
    }
    const char *s = strstr(r->settings, "kernel_size: ");
    kernel = s[13] - '0';
    if ((s = strstr(r->settings, "stride: ")))
        stride = s[8] - '0';
    if ((s = strstr(r->settings, "pad: ")))
        pad = s[5] - '0';
    *h = *w = (struct window){kernel, stride, pad};
}

/* y and, given dy, dx, of one plane, by the definition. */
static void pool_plane(const struct row *r, bool is_max, const float *x, const float *dy, float *y, float *dx)
{
    struct window h, w;
    read_windows(r, &h, &w);
    for (int i = 0; i < r->top_h; i++) {
        for (int j = 0; j < r->top_w; j++) {
            int top = i * h.stride - h.pad, left = j * w.stride - w.pad;
            int bottom = MIN(top + h.kernel, r->h + h.pad), right = MIN(left + w.kernel, r->w + w.pad);
            float best = -FLT_MAX, sum = 0;
            int at = -1, positions = (bottom - top) * (right - left);
            for (int a = MAX(top, 0); a < MIN(bottom, r->h); a++)
                for (int b = MAX(left, 0); b < MIN(right, r->w); b++) {
                    sum += x[a * r->w + b];
                    if (x[a * r->w + b] > best) {
                        best = x[a * r->w + b];
                        at = a * r->w + b;
                    }
                    if (!is_max)
                        dx[a * r->w + b] += dy[i * r->top_w + j] / (float)positions;
                }
            if (is_max && at >= 0)
                dx[at] += dy[i * r->top_w + j];
            y[i * r->top_w + j] = is_max ? best : sum / (float)positions;
        }
    }
}

/* The input in front of the pooling layer is plain, channels last (5) or in blocks (16). */
static char *prototxt_of(const struct row *r, bool is_max, int channels)
{
    return xasprintf("force_backward: true\n"
                     "layer { name: 'in' type: 'Input' top: 'in' input_param { shape { dim: 2 dim: %d dim: "
                     "%d dim: %d } } }\n"
                     "%s"
                     "layer { name: 'p' type: 'Pooling' bottom: '%s' top: 'y' loss_weight: 1 pooling_param { "
                     "pool: %s %s } }\n",
                     channels, r->h, r->w,
                     channels > 3
                         ? "layer { name: 'c' type: 'Convolution' bottom: 'in' top: 'x' convolution_param {\n"
                           "  num_output: 16 kernel_size: 1 weight_filler { type: 'gaussian' } } }\n"
                         : "",
                     channels > 3 ? "x" : "in", is_max ? "MAX" : "AVE", r->settings);
}

static void check_row(const struct row *r, bool is_max, int channels)
{
    const char *bottom = channels > 3 ? "x" : "in";
    int planes = 2 * (channels > 3 ? 16 : channels), in = r->h * r->w, out = r->top_h * r->top_w;
    CLEANUP(freep) char *text = prototxt_of(r, is_max, channels);
    CLEANUP(net_freep) struct net *net = net_from_text(text);
    const struct shape *shape = &net_def(net)->blobs[blob_index(net, "y")].shape;
    if (shape->dim[2] != r->top_h || shape->dim[3] != r->top_w)
        fail_msg("%s: the top is %dx%d", r->name, shape->dim[2], shape->dim[3]);
    struct error err;
    fill_inputs(net, 3, -1, 1);
    CLEANUP(freep) float *dy = xcalloc((size_t)(planes * out), sizeof(float));
    fill_random(9, -1, 1, planes * out, dy);
    set_top_diff(net, "y", dy);
    assert_ok(net_forward(net, NULL, &err));
    net_backward(net);
    CLEANUP(freep)
    float *x = blob_values(net, bottom), *y = blob_values(net, "y"), *dx = blob_diffs(net, bottom);
    CLEANUP(freep) float *want_y = xcalloc((size_t)(planes * out), sizeof(float));
    CLEANUP(freep) float *want_dx = xcalloc((size_t)(planes * in), sizeof(float));
    for (int i = 0; i < planes; i++)
        pool_plane(r, is_max, x + i * in, dy + i * out, want_y + i * out, want_dx + i * in);
    if (!(largest_difference(y, want_y, planes * out) < 1e-6) ||
        !(largest_difference(dx, want_dx, planes * in) < 1e-6))
        fail_msg("%s, %s, %d channels: y %g, dx %g", r->name, is_max ? "MAX" : "AVE", channels,
                 largest_difference(y, want_y, planes * out), largest_difference(dx, want_dx, planes * in));
}

static void sizes_values_and_gradients_are_those_of_caffes_definition(void **state)
{
    (void)state;
    static const int channels[] = {3, 5, 16};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (size_t c = 0; c < ARRAY_SIZE(channels); c++)
            for (int is_max = 0; is_max < 2; is_max++)
                if (is_max || !strstr(rows[i].name, "empty"))
                    check_row(&rows[i], is_max, channels[c]);
}

/* Plane c, of blobs that lie channels last. */
static void take_plane(const float *last, int channels, int c, int size, float *ret_plane)
{
    int image = c / channels * channels * size + c % channels;
    for (int i = 0; i < size; i++)
        ret_plane[i] = last[image + i * channels];
}

static void try_loops(const struct pooling_loops *loops, const struct row *r, bool is_max, int channels)
{
    struct window h, w;
    read_windows(r, &h, &w);
    const struct pooling_blobs b = {{r->h, r->top_h, h.kernel, h.stride, h.pad},
                                    {r->w, r->top_w, w.kernel, w.stride, w.pad},
                                    (size_t)channels,
                                    is_max};
    enum { N = 2, CHANNELS_MAX = 37, PLANE_MAX = 32 * 32 };
    static float x[N * CHANNELS_MAX * PLANE_MAX], dx[N * CHANNELS_MAX * PLANE_MAX],
        y[N * CHANNELS_MAX * PLANE_MAX], dy[N * CHANNELS_MAX * PLANE_MAX];
    static uint8_t where[N * CHANNELS_MAX * PLANE_MAX + POOLING_WHERE_SLACK];
    int in = r->h * r->w, out = r->top_h * r->top_w;
    fill_random(3, -4, 4, N * channels * in, x);
    for (int i = 0; i < N * channels * in; i++) /* some are equal, some are none */
        x[i] = i % 11 == 10 ? NAN : is_max ? roundf(x[i]) : x[i];
    fill_random(9, -1, 1, N * channels * out, dy);
    for (int from = 0; from < N * r->top_h; from += 3)
        loops->forward(&b, x, y, where, (size_t)from, (size_t)MIN(from + 3, N * r->top_h));
    for (int from = 0; from < N * r->h; from += 3)
        loops->backward(&b, dy, where, dx, (size_t)from, (size_t)MIN(from + 3, N * r->h));
    for (int c = 0; c < N * channels; c++) {
        float plane[PLANE_MAX], plane_dy[PLANE_MAX], want_y[PLANE_MAX], want_dx[PLANE_MAX] = {0},
                                                                        got[PLANE_MAX];
        take_plane(x, channels, c, in, plane);
        take_plane(dy, channels, c, out, plane_dy);
        pool_plane(r, is_max, plane, plane_dy, want_y, want_dx);
        take_plane(y, channels, c, out, got);
        for (int i = 0; i < out; i++)
            assert_true(isnan(want_y[i]) ? isnan(got[i])
                                         : fabsf(got[i] - want_y[i]) <= 1e-6F * fabsf(want_y[i]));
        take_plane(dx, channels, c, in, got);
        for (int i = 0; i < in; i++)
            assert_float_equal(got[i], want_dx[i], 1e-6);
    }
}

static void try_kind(const struct pooling_loops *loops)
{
    static const int channels[] = {1, 8, 20, 37};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (size_t c = 0; c < ARRAY_SIZE(channels); c++)
            for (int is_max = 0; is_max < 2; is_max++)
                try_loops(loops, &rows[i], is_max, channels[c]);
}

static void loops_of_every_processor(void **state)
{
    (void)state;
    try_kind(&pooling_any);
}

#ifdef __x86_64__
static void loops_with_avx2(void **state)
{
    (void)state;
    try_kind(&pooling_avx2);
}
#endif

static void the_second_top_says_where_the_first_of_equal_maxima_is(void **state)
{
    (void)state;
    CLEANUP(net_freep)
    struct net *net = net_from_text(
        "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 1 dim: 1 dim: 2 dim: 4 } } }\n"
        "layer { name: 'p' type: 'Pooling' bottom: 'x' top: 'y' top: 'at'\n"
        "  pooling_param { kernel_size: 2 stride: 2 } }");
    const float x[] = {1, 3, 0, 0, 3, 2, 0, 0}, at[] = {1, 2};
    struct error err;
    blob_set(net, "x", x);
    assert_ok(net_forward(net, NULL, &err));
    CLEANUP(freep) float *got = blob_values(net, "at");
    assert_memory_equal(got, at, sizeof(at));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_values_and_gradients_are_those_of_caffes_definition),
        cmocka_unit_test(loops_of_every_processor),
#ifdef __x86_64__
        UNIT_TEST_IF(has_avx2(), loops_with_avx2, "AVX2"),
#endif
        cmocka_unit_test(the_second_top_says_where_the_first_of_equal_maxima_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
