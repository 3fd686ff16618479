#include "engine/layers/convolution_gradient.h"

#include <omp.h>
#include <string.h>

#include "engine/kernel.h"

/* What a thread has of its own, in the layer's scratch memory. */
struct worker {
    float *dw, *db; /* the first one's are the results */
    float *image;   /* one of x with its padding left and right, when there is any */
};

bool convolution_gradient_suits(dnnl_dim_t in)
{
    enum { CHANNELS_MAX = 4 };
    return product_loops() && in <= CHANNELS_MAX;
}

static bool is_padded(const struct convolution_gradient *g)
{
    return g->pad[1] > 0;
}

static size_t padded_row(const struct convolution_gradient *g)
{
    return (g->size[1] + 2 * g->pad[1]) * g->in;
}

static size_t weights_floats(const struct convolution_gradient *g)
{
    return g->kernel[0] * g->kernel[1] * g->in * g->out;
}

static size_t image_floats(const struct convolution_gradient *g)
{
    return is_padded(g) ? g->size[0] * padded_row(g) : 0;
}

/* Floats of a worker's weights, bias and image. */
static size_t worker_floats(const struct convolution_gradient *g)
{
    return kernel_align_floats(weights_floats(g)) + kernel_align_floats(g->out) +
           kernel_align_floats(image_floats(g));
}

static struct worker worker_of(const struct convolution_gradient *g, float *scratch, int number)
{
    struct worker w = {.dw = scratch + (size_t)number * worker_floats(g)};
    w.db = w.dw + kernel_align_floats(weights_floats(g));
    w.image = w.db + kernel_align_floats(g->out);
    return w;
}

void convolution_gradient_plan(struct convolution_gradient *g, struct planner *p)
{
    g->multiply = product_loops();
    g->n_workers = omp_get_max_threads();
    plan_scratch(p, (size_t)g->n_workers * worker_floats(g) * sizeof(float));
}

static void copy_image(const struct convolution_gradient *g, const float *x, float *image)
{
    size_t row = g->size[1] * g->in;
    for (size_t y = 0; y < g->size[0]; y++)
        memcpy(image + y * padded_row(g) + g->pad[1] * g->in, x + y * row, row * sizeof(float));
}

/* Of one row of outputs. */
static void add_row(const struct convolution_gradient *g, const struct worker *w, const float *image,
                    size_t y, const float *dy, bool wants_bias)
{
    static const float one = 1;
    struct product product = {
        .b = dy,
        .k = g->out_size[1],
        .n = g->out,
        .a_row = 1,
        .b_row = g->out,
        .c_row = g->out,
        .add = true,
    };
    if (wants_bias) {
        product.a = &one;
        product.m = 1;
        product.c = w->db;
        g->multiply(&product);
    }
    product.m = g->kernel[1] * g->in;
    product.a_column = g->stride[1] * g->in;
    for (size_t i = 0; i < g->kernel[0]; i++) {
        size_t from_pad = y * g->stride[0] + i;
        if (from_pad < g->pad[0] || from_pad >= g->pad[0] + g->size[0])
            continue;
        product.a = image + (from_pad - g->pad[0]) * padded_row(g);
        product.c = w->dw + i * product.m * g->out;
        g->multiply(&product);
    }
}

/* Rows [from, to) of the outputs of all images. */
static void add_rows(const struct convolution_gradient *g, const struct worker *w, const float *x,
                     const float *dy, bool wants_bias, size_t from, size_t to)
{
    size_t rows = g->out_size[0], x_floats = g->size[0] * g->size[1] * g->in;
    memset(w->dw, 0, weights_floats(g) * sizeof(float));
    memset(w->db, 0, g->out * sizeof(float));
    memset(w->image, 0, image_floats(g) * sizeof(float));
    for (size_t r = from; r < to; r++) {
        const float *image = x + r / rows * x_floats;
        if (is_padded(g)) {
            if (r == from || r % rows == 0)
                copy_image(g, image, w->image);
            image = w->image;
        }
        add_row(g, w, image, r % rows, dy + r * g->out_size[1] * g->out, wants_bias);
    }
}

static void add_up(const struct convolution_gradient *g, float *scratch, float *dw, float *db)
{
    struct worker first = worker_of(g, scratch, 0);
    for (int k = 1; k < g->n_workers; k++) {
        struct worker w = worker_of(g, scratch, k);
        for (size_t i = 0; i < weights_floats(g); i++)
            first.dw[i] += w.dw[i];
        for (size_t i = 0; i < g->out; i++)
            first.db[i] += w.db[i];
    }
    memcpy(dw, first.dw, weights_floats(g) * sizeof(float));
    if (db)
        memcpy(db, first.db, g->out * sizeof(float));
}

void convolution_gradient_run(const struct convolution_gradient *g, void *scratch, const float *x,
                              const float *dy, float *dw, float *db)
{
    size_t rows = g->n * g->out_size[0], workers = (size_t)g->n_workers;
#pragma omp parallel for schedule(static, 1) num_threads(g->n_workers)
    for (int k = 0; k < g->n_workers; k++) {
        struct worker w = worker_of(g, scratch, k);
        add_rows(g, &w, x, dy, db, rows * (size_t)k / workers, rows * ((size_t)k + 1) / workers);
    }
    add_up(g, scratch, dw, db);
}
