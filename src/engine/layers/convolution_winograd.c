#include "engine/layers/convolution_winograd.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "engine/elementwise.h"
#include "engine/layers/matrices.h"

enum { BLOCK = 16 }; /* channels of a block */
/* Bytes of the kernels' gradient, transformed, of which each thread may have its own. */
enum { SMALL_DIFF = 1 << 20 };

struct range {
    size_t from, to;
};

/* What a thread has of its own; the pointers are into the layer's scratch memory. */
struct winograd_worker {
    struct matrices forward, data;
    struct matrices weights,
        weights_more; /* of its share of the products; the second adds to what there is */
    float *in, *out;  /* (P,tiles,I) and (P,tiles,O) of one group */
    float *diff;      /* (P,I,O) of one group; when it is shared, the first worker has it */
    float *sum;       /* (O) of all groups: the bias's gradient so far */
    float *scratch;
};

static const struct winograd_transforms *transforms_of(const struct convolution_winograd_params *params)
{
    return winograd_transforms((int)params->kernel, (size_t)params->out_size[0], (size_t)params->out_size[1],
                               params->is_bf16);
}

/* Rows of tiles of an image, or columns: axis 0 or 1. */
static dnnl_dim_t tiles_along(const struct convolution_winograd_params *params, int axis)
{
    int outs = transforms_of(params)->outs;
    return (params->out_size[axis] + outs - 1) / outs;
}

dnnl_dim_t convolution_winograd_products(const struct convolution_winograd_params *params)
{
    int ins = transforms_of(params)->ins;
    return tiles_along(params, 0) * tiles_along(params, 1) * ins * ins;
}

bool convolution_winograd_suits(const struct convolution_winograd_params *params)
{
    /*
     * With more weights than that, the products of all of them fill the memory
     * and not the caches.  In training without avx512 it is still faster than
     * oneDNN's direct kernels.
     */
    enum { CHANNELS_MIN = 16, WEIGHTS_MAX = 1 << 17, WEIGHTS_MAX_TRAINED = 1 << 18, TILES_MIN = 16 };
    dnnl_dim_t weights_max = params->wants_weights && !blocks_are_liked() ? WEIGHTS_MAX_TRAINED : WEIGHTS_MAX;
    if (!transforms_of(params))
        return false;
    dnnl_dim_t in = params->in / params->group, out = params->out / params->group;
    /* Of f32's size: fewer of the larger ones are as much work saved. */
    struct convolution_winograd_params fine = *params;
    fine.is_bf16 = false;
    return MIN(in, out) >= CHANNELS_MIN && in * out <= weights_max &&
           params->n * tiles_along(&fine, 0) * tiles_along(&fine, 1) >= TILES_MIN;
}

/* ---- plan ---- */

/* Floats of a group's kernels. */
static size_t weights_each(const struct convolution_winograd *w)
{
    size_t kernel = (size_t)w->transforms->kernel;
    return w->in.group_channels * w->out.group_channels * kernel * kernel;
}

/* Products of a tile, or a kernel. */
static size_t products_of(const struct convolution_winograd *w)
{
    return (size_t)(w->transforms->ins * w->transforms->ins);
}

/* The same, transformed. */
static size_t products_each(const struct convolution_winograd *w)
{
    return products_of(w) * w->in.group_channels * w->out.group_channels;
}

/* Do loops of our own multiply. */
static bool is_small(const struct convolution_winograd *w)
{
    return matrices_are_small(w->in.group_channels, w->out.group_channels);
}

static size_t tiles_each(const struct convolution_winograd *w)
{
    return w->rows * w->columns;
}

static size_t bytes_of(bool is_bf16)
{
    return is_bf16 ? sizeof(uint16_t) : sizeof(float);
}

/* From the first image to that of number n. */
static size_t images_numbers(const struct winograd_images *m, size_t n)
{
    return n * m->channels * m->height * m->width;
}

static struct winograd_images images_of(dnnl_dim_t channels, const struct convolution_winograd_params *params,
                                        const dnnl_dim_t size[2], int square)
{
    return (struct winograd_images){
        .channels = (size_t)channels,
        .group_channels = (size_t)(channels / params->group),
        .height = (size_t)size[0],
        .width = (size_t)size[1],
        .is_blocked = channels / params->group % BLOCK == 0 && blocks_are_liked(),
        .square = square,
    };
}

static dnnl_memory_desc_t images_desc(const struct convolution_winograd *w, const struct winograd_images *m,
                                      bool is_bf16)
{
    dnnl_dims_t dims = {(dnnl_dim_t)w->n, (dnnl_dim_t)m->channels, (dnnl_dim_t)m->height,
                        (dnnl_dim_t)m->width};
    dnnl_memory_desc_t desc;
    dnnl_memory_desc_init_by_tag(&desc, 4, dims, is_bf16 ? dnnl_bf16 : dnnl_f32,
                                 m->is_blocked ? dnnl_nChw16c : dnnl_nhwc);
    return desc;
}

/* A worker's share of so many things. */
static struct range share_of(const struct convolution_winograd *w, int worker, size_t things)
{
    size_t workers = (size_t)w->n_workers, i = (size_t)worker;
    return (struct range){things * i / workers, things * (i + 1) / workers};
}

/* (products,rows,columns), each matrix the other way round in memory when it is transposed. */
static dnnl_memory_desc_t products_desc(size_t products, size_t rows, size_t columns, bool transposed)
{
    dnnl_dims_t dims = {(dnnl_dim_t)products, (dnnl_dim_t)rows, (dnnl_dim_t)columns};
    dnnl_memory_desc_t desc;
    dnnl_memory_desc_init_by_tag(&desc, 3, dims, dnnl_f32, transposed ? dnnl_acb : dnnl_abc);
    return desc;
}

/*
 * A large gradient of the kernels is one for all workers: each adds to a share
 * of its products what all of them have transformed, and they wait for each
 * other.  Small ones are cheaper added up in the end.
 */
static struct range products_share(const struct convolution_winograd *w, int worker)
{
    return w->shares_diff ? share_of(w, worker, products_of(w)) : (struct range){0, products_of(w)};
}

static enum status plan_weights_gradient(const struct convolution_winograd *w, int worker, struct error *err)
{
    struct winograd_worker *k = &w->workers[worker];
    struct range share = products_share(w, worker);
    size_t n = share.to - share.from, in = w->in.group_channels, out = w->out.group_channels;
    if (n == 0)
        return OK;
    dnnl_memory_desc_t x = products_desc(n, in, w->tiles, true), y = products_desc(n, w->tiles, out, false);
    dnnl_memory_desc_t kernels = products_desc(n, in, out, false);
    TRY(matrices_plan(&k->weights, &x, &y, &kernels, false, is_small(w), err));
    return matrices_plan(&k->weights_more, &x, &y, &kernels, true, is_small(w), err);
}

static enum status plan_worker(const struct convolution_winograd *w, int worker,
                               const struct convolution_winograd_params *params, struct error *err)
{
    struct winograd_worker *k = &w->workers[worker];
    size_t n = products_of(w), in = w->in.group_channels, out = w->out.group_channels;
    dnnl_memory_desc_t x = products_desc(n, w->tiles, in, false), y = products_desc(n, w->tiles, out, false);
    dnnl_memory_desc_t kernels = products_desc(n, in, out, false),
                       kernels_back = products_desc(n, out, in, !w->kernels_back);
    TRY(matrices_plan(&k->forward, &x, &kernels, &y, false, is_small(w), err));
    if (params->wants_data)
        TRY(matrices_plan(&k->data, &y, &kernels_back, &x, false, is_small(w), err));
    return params->wants_weights ? plan_weights_gradient(w, worker, err) : OK;
}

/* Each worker multiplies on the thread that runs it. */
static enum status plan_workers(struct convolution_winograd *w,
                                const struct convolution_winograd_params *params, struct error *err)
{
    w->n_workers = omp_get_max_threads();
    w->workers = xcalloc((size_t)w->n_workers, sizeof(w->workers[0]));
    enum status status = OK;
    omp_set_num_threads(1);
    for (int i = 0; status == OK && i < w->n_workers; i++)
        status = plan_worker(w, i, params, err);
    omp_set_num_threads(w->n_workers);
    return status;
}

/*
 * Few, so that a thread's products stay in its caches, but enough to be worth
 * going through all kernels for them: their products take twice the memory of
 * the kernels'.  An odd number: the products of a tile lie that many rows
 * apart, and would meet in a few sets of the caches.
 */
static size_t tiles_at_a_time(const struct convolution_winograd *w)
{
    enum { FEW = 15, MANY = 255, CACHE_BYTES = 512 << 10 };
    size_t tile = products_of(w) * (w->in.group_channels + w->out.group_channels) * sizeof(float);
    size_t bytes = MAX(2 * products_each(w) * sizeof(float), CACHE_BYTES);
    size_t most = MAX(FEW, MIN(MANY, bytes / tile)), threads = (size_t)omp_get_max_threads();
    size_t each = (w->n * tiles_each(w) + threads - 1) / threads;
    size_t times = (each + most - 1) / most;
    return (each + times - 1) / times | 1;
}

/* The next of these floats. */
static float *take(float *scratch, size_t *at, size_t floats)
{
    float *from = scratch ? scratch + *at : NULL;
    *at += kernel_align_floats(floats);
    return from;
}

/* The workers' memory; returns the floats in all.  scratch NULL: only these are asked for. */
static size_t share_scratch(struct convolution_winograd *w, float *scratch)
{
    size_t at = 0;
    for (int i = 0; i < w->n_workers; i++) {
        struct winograd_worker *k = &w->workers[i];
        size_t gradient = MAX(k->weights.kernel.scratch_bytes, k->weights_more.kernel.scratch_bytes);
        size_t kernels = MAX(MAX(k->forward.kernel.scratch_bytes, k->data.kernel.scratch_bytes), gradient);
        bool has_diff = w->wants_weights && (i == 0 || !w->shares_diff);
        k->diff = take(scratch, &at, has_diff ? products_each(w) : 0);
        k->in = take(scratch, &at, products_of(w) * w->tiles * w->in.group_channels);
        k->out = take(scratch, &at, products_of(w) * w->tiles * w->out.group_channels);
        k->sum = take(scratch, &at, w->wants_bias ? w->out.channels : 0);
        k->scratch = take(scratch, &at, kernels / sizeof(float) + 1);
    }
    return at;
}

static enum status plan_params(struct convolution_winograd *w, const struct layer *l, struct planner *p,
                               bool wants_data, const dnnl_memory_desc_t *plain, struct error *err)
{
    dnnl_memory_desc_t weights = desc_outputs_last(plain), bias;
    plan_param(p, 0, &weights, plain);
    TRY(weights_copy_plan(&w->weights, p, l->params[0], &weights, plain, err));
    w->kernels = plan_keep(p, w->group * products_each(w) * sizeof(float));
    if (wants_data && is_small(w))
        w->kernels_back = plan_keep(p, w->group * products_each(w) * sizeof(float));
    if (w->wants_weights)
        TRY(weights_gradient_plan(&w->weights_diff, p, l->params[0], &weights, plain, err));
    if (w->wants_bias) {
        desc_plain(&l->params[1]->def->shape, &bias);
        TRY(weights_gradient_plan(&w->bias_diff, p, l->params[1], &bias, &bias, err));
    }
    return OK;
}

enum status convolution_winograd_plan(struct convolution_winograd *w,
                                      const struct convolution_winograd_params *params, struct layer *l,
                                      struct planner *p, const dnnl_memory_desc_t *plain, struct error *err)
{
    const struct winograd_transforms *transforms = transforms_of(params);
    *w = (struct convolution_winograd){
        .transforms = transforms,
        .in = images_of(params->in, params, params->size, transforms->ins),
        .out = images_of(params->out, params, params->out_size, transforms->outs),
        .n = (size_t)params->n,
        .group = (size_t)params->group,
        .rows = (size_t)tiles_along(params, 0),
        .columns = (size_t)tiles_along(params, 1),
        .wants_weights = params->wants_weights,
        .wants_bias = params->wants_bias,
        .relu = params->relu,
        .is_bf16 = params->is_bf16,
        .top_is_bf16 = params->top_is_bf16,
    };
    w->in.pad[0] = (int)params->pad[0];
    w->in.pad[1] = (int)params->pad[1];
    w->tiles = tiles_at_a_time(w);
    w->shares_diff = products_each(w) * sizeof(float) > SMALL_DIFF;
    TRY(plan_params(w, l, p, params->wants_data, plain, err));
    TRY(plan_workers(w, params, err));
    plan_scratch(p, share_scratch(w, NULL) * sizeof(float));
    dnnl_memory_desc_t in = images_desc(w, &w->in, w->is_bf16), out = images_desc(w, &w->out, w->top_is_bf16);
    dnnl_memory_desc_t out_diff = images_desc(w, &w->out, w->is_bf16);
    for (int i = 0; i < l->n_bottoms; i++) {
        plan_bottom(p, i, &in);
        plan_top(p, i, &out);
        plan_top_diff(p, i, &out_diff);
    }
    return OK;
}

void convolution_winograd_release(struct convolution_winograd *w)
{
    for (int i = 0; i < w->n_workers; i++) {
        matrices_release(&w->workers[i].forward);
        matrices_release(&w->workers[i].data);
        matrices_release(&w->workers[i].weights);
        matrices_release(&w->workers[i].weights_more);
    }
    free(w->workers);
    weights_copy_release(&w->weights);
    weights_gradient_release(&w->weights_diff);
    weights_gradient_release(&w->bias_diff);
}

/* ---- tiles ---- */

/* The numbers of all images. */
struct pixels {
    void *numbers;
    bool is_bf16;          /* else floats */
    const void *rectified; /* of a gradient: the top whose ReLU it comes through; NULL: there is none */
    bool rectified_is_bf16;
};

static void *number_at(const void *numbers, bool is_bf16, ptrdiff_t i)
{
    return (char *)numbers + i * (ptrdiff_t)bytes_of(is_bf16);
}

/* The tile's square of the images; its first number is, or would be, *ret_first. */
static struct winograd_tile tile_at(const struct convolution_winograd *w, const struct winograd_images *m,
                                    const struct pixels *images, size_t tile, ptrdiff_t *ret_first)
{
    size_t image = tile / tiles_each(w), pixel = m->is_blocked ? BLOCK : m->channels;
    int y = (int)(tile % tiles_each(w) / w->columns) * w->transforms->outs - m->pad[0];
    int x = (int)(tile % w->columns) * w->transforms->outs - m->pad[1];
    *ret_first = (ptrdiff_t)images_numbers(m, image) + ((ptrdiff_t)m->width * y + x) * (ptrdiff_t)pixel;
    return (struct winograd_tile){
        .is_bf16 = images->is_bf16,
        .row = m->width * pixel,
        .pixel = pixel,
        .top = MAX(0, -y),
        .left = MAX(0, -x),
        .bottom = MIN(m->square, (int)m->height - y),
        .right = MIN(m->square, (int)m->width - x),
        .rectified_is_bf16 = images->rectified_is_bf16,
    };
}

/* From the first channel's number to that of another channel. */
static size_t channel_at(const struct winograd_images *m, size_t channel)
{
    return m->is_blocked ? channel / BLOCK * BLOCK * m->height * m->width + channel % BLOCK : channel;
}

/*
 * Tiles of one group's channels, between images and products (P,tiles,C).
 * each: numbers of all groups' channels, or NULL.
 */
static void transform(const struct convolution_winograd *w, winograd_transform *how,
                      const struct winograd_images *m, struct pixels images, size_t g, struct range tiles,
                      float *products, const float *each)
{
    size_t channels = m->group_channels, lanes = w->transforms->lanes;
    for (size_t t = tiles.from; t < tiles.to; t++) {
        ptrdiff_t first;
        struct winograd_tile tile = tile_at(w, m, &images, t, &first);
        float *product = products + (t - tiles.from) * channels;
        for (size_t c = 0; c < channels; c += lanes) {
            size_t channel = g * channels + c;
            ptrdiff_t at = first + (ptrdiff_t)channel_at(m, channel);
            tile.at = number_at(images.numbers, images.is_bf16, at);
            if (images.rectified)
                tile.rectified = number_at(images.rectified, images.rectified_is_bf16, at);
            how(&tile, MIN(lanes, channels - c), product + c, w->tiles * channels,
                each ? (float *)each + channel : NULL);
        }
    }
}

/* Of so many tiles there are fewer at the end: what lies behind them counts as 0. */
static void clear_rest(const struct convolution_winograd *w, float *products, size_t channels, size_t tiles)
{
    for (size_t k = 0; tiles < w->tiles && k < products_of(w); k++)
        memset(products + (k * w->tiles + tiles) * channels, 0,
               (w->tiles - tiles) * channels * sizeof(float));
}

/* ---- running ---- */

/*
 * The tiles of each worker are done in rounds.  by_image: its share is of
 * whole images, for neighbouring tiles see the same inputs.
 */
static struct range tiles_of_round(const struct convolution_winograd *w, int worker, size_t round,
                                   bool by_image)
{
    size_t each = by_image ? tiles_each(w) : 1;
    struct range share = share_of(w, worker, w->n * tiles_each(w) / each);
    size_t to = share.to * each, from = MIN(to, share.from * each + round * w->tiles);
    return (struct range){from, MIN(to, from + w->tiles)};
}

/* Of the worker that has most. */
static size_t rounds_of(const struct convolution_winograd *w, bool by_image)
{
    size_t each = by_image ? tiles_each(w) : 1, workers = (size_t)w->n_workers;
    size_t most = (w->n * tiles_each(w) / each + workers - 1) / workers * each;
    return (most + w->tiles - 1) / w->tiles;
}

/* Kernels that a thread transforms at a time. */
enum { CHUNK = 256 };

/* (P,I,O) to (P,O,I). */
static void turn_kernels(const struct convolution_winograd *w, const float *kernels, float *ret_back)
{
    size_t in = w->in.group_channels, out = w->out.group_channels;
#pragma omp parallel for num_threads(w->n_workers)
    for (size_t p = 0; p < products_of(w); p++)
        for (size_t i = 0; i < in; i++)
            for (size_t o = 0; o < out; o++)
                ret_back[(p * out + o) * in + i] = kernels[(p * in + i) * out + o];
}

void convolution_winograd_renew(struct convolution_winograd *w, struct layer *l, const float *factors)
{
    size_t out = w->out.group_channels, n = w->in.group_channels * out;
    const float *weights = weights_copy_get(&w->weights, l->params[0], l->scratch);
    for (size_t g = 0; g < w->group; g++) {
        float *kernels = w->kernels + g * products_each(w);
#pragma omp parallel for num_threads(w->n_workers)
        for (size_t i = 0; i < n; i += CHUNK)
            w->transforms->kernels(weights + g * weights_each(w) + i, MIN(CHUNK, n - i), n, kernels + i);
        for (size_t i = 0; factors && i < products_each(w); i++)
            kernels[i] *= factors[g * out + i % out];
        if (w->kernels_back)
            turn_kernels(w, kernels, w->kernels_back + g * products_each(w));
    }
    w->version = l->params[0]->version;
}

static void forward_worker(struct convolution_winograd *w, int worker, size_t g, struct pixels bottom,
                           struct pixels top, const float *bias)
{
    struct winograd_worker *k = &w->workers[worker];
    winograd_transform *out = w->relu ? w->transforms->out_or_zero : w->transforms->out;
    for (size_t round = 0;; round++) {
        struct range tiles = tiles_of_round(w, worker, round, false);
        if (tiles.from == tiles.to)
            return;
        transform(w, w->transforms->in, &w->in, bottom, g, tiles, k->in, NULL);
        matrices_multiply(&k->forward, k->scratch, k->in, w->kernels + g * products_each(w), k->out);
        transform(w, out, &w->out, top, g, tiles, k->out, bias);
    }
}

void convolution_winograd_forward(struct convolution_winograd *w, struct layer *l, const float *bias)
{
    if (w->version != l->params[0]->version)
        convolution_winograd_renew(w, l, NULL);
    share_scratch(w, l->scratch);
    for (int i = 0; i < l->n_bottoms; i++)
#pragma omp parallel for schedule(static, 1) num_threads(w->n_workers)
        for (int k = 0; k < w->n_workers; k++)
            for (size_t g = 0; g < w->group; g++)
                forward_worker(w, k, g, (struct pixels){.numbers = l->bottoms[i].data, .is_bf16 = w->is_bf16},
                               (struct pixels){.numbers = l->tops[i].data, .is_bf16 = w->top_is_bf16}, bias);
}

/* What the backward pass of one bottom wants. */
struct gradients {
    struct pixels bottom, top_diff, bottom_diff;
    bool params; /* of the weights and the bias, as far as they are learned */
    bool data;   /* bottom_diff */
};

static void transform_for_gradients(struct convolution_winograd *w, struct winograd_worker *k, size_t g,
                                    struct range tiles, const struct gradients *what)
{
    size_t n = tiles.to - tiles.from;
    transform(w, w->transforms->out_diff, &w->out, what->top_diff, g, tiles, k->out,
              what->params && w->wants_bias ? k->sum : NULL);
    if (!what->params || !w->wants_weights)
        return;
    transform(w, w->transforms->in, &w->in, what->bottom, g, tiles, k->in, NULL);
    clear_rest(w, k->in, w->in.group_channels, n);
    clear_rest(w, k->out, w->out.group_channels, n);
}

static void add_weights_gradient(struct convolution_winograd *w, int worker, bool is_first)
{
    struct winograd_worker *k = &w->workers[worker];
    size_t in = w->in.group_channels, out = w->out.group_channels;
    struct range share = products_share(w, worker);
    float *diff = w->workers[w->shares_diff ? 0 : worker].diff + share.from * in * out;
    int from = w->shares_diff ? 0 : worker, to = w->shares_diff ? w->n_workers : worker + 1;
    for (int i = from; share.from < share.to && i < to; i++)
        matrices_multiply(is_first && i == from ? &k->weights : &k->weights_more, k->scratch,
                          w->workers[i].in + share.from * w->tiles * in,
                          w->workers[i].out + share.from * w->tiles * out, diff);
}

static void add_bottom_gradient(struct convolution_winograd *w, struct winograd_worker *k, size_t g,
                                struct range tiles, struct pixels bottom_diff)
{
    const float *kernels = (w->kernels_back ? w->kernels_back : w->kernels) + g * products_each(w);
    matrices_multiply(&k->data, k->scratch, k->out, kernels, k->in);
    transform(w, w->transforms->in_diff, &w->in, bottom_diff, g, tiles, k->in, NULL);
}

/* One worker's rounds, in which it waits for nobody; without any tiles its gradient of the kernels is 0. */
static void backward_alone(struct convolution_winograd *w, int worker, size_t g, const struct gradients *what)
{
    struct winograd_worker *k = &w->workers[worker];
    for (size_t round = 0;; round++) {
        struct range tiles = tiles_of_round(w, worker, round, what->data);
        if (round > 0 && tiles.from == tiles.to)
            return;
        transform_for_gradients(w, k, g, tiles, what);
        if (what->params && w->wants_weights)
            add_weights_gradient(w, worker, round == 0);
        if (what->data)
            add_bottom_gradient(w, k, g, tiles, what->bottom_diff);
    }
}

static void backward_together(struct convolution_winograd *w, size_t g, size_t round,
                              const struct gradients *what)
{
#pragma omp parallel for schedule(static, 1) num_threads(w->n_workers)
    for (int k = 0; k < w->n_workers; k++)
        transform_for_gradients(w, &w->workers[k], g, tiles_of_round(w, k, round, what->data), what);
#pragma omp parallel for schedule(static, 1) num_threads(w->n_workers)
    for (int k = 0; k < w->n_workers; k++)
        add_weights_gradient(w, k, round == 0);
    if (what->data)
#pragma omp parallel for schedule(static, 1) num_threads(w->n_workers)
        for (int k = 0; k < w->n_workers; k++)
            add_bottom_gradient(w, &w->workers[k], g, tiles_of_round(w, k, round, what->data),
                                what->bottom_diff);
}

static void backward_group(struct convolution_winograd *w, size_t g, const struct gradients *what)
{
    if (what->params && w->wants_weights && w->shares_diff) {
        size_t rounds = rounds_of(w, what->data);
        for (size_t round = 0; round < rounds; round++)
            backward_together(w, g, round, what);
        return;
    }
#pragma omp parallel for schedule(static, 1) num_threads(w->n_workers)
    for (int k = 0; k < w->n_workers; k++)
        backward_alone(w, k, g, what);
}

static void transform_weights_gradient(struct convolution_winograd *w, float *gradient)
{
    size_t n = w->in.group_channels * w->out.group_channels;
#pragma omp parallel for num_threads(w->n_workers)
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t some = MIN(CHUNK, n - i);
        float *sum = w->workers[0].diff + i;
        for (int k = 1; !w->shares_diff && k < w->n_workers; k++)
            for (size_t p = 0; p < products_of(w); p++)
                for (size_t j = p * n; j < p * n + some; j++)
                    sum[j] += w->workers[k].diff[i + j];
        w->transforms->kernels_diff(sum, some, n, gradient + i);
    }
}

static void add_up_bias(struct convolution_winograd *w, float *gradient)
{
    memcpy(gradient, w->workers[0].sum, w->out.channels * sizeof(float));
    for (int k = 1; k < w->n_workers; k++)
        for (size_t i = 0; i < w->out.channels; i++)
            gradient[i] += w->workers[k].sum[i];
}

static void backward_all(struct convolution_winograd *w, struct layer *l, const struct gradients *what)
{
    bool wants_weights = what->params && w->wants_weights, wants_bias = what->params && w->wants_bias;
    float *weights = wants_weights ? weights_gradient_target(&w->weights_diff, l->params[0]) : NULL;
    share_scratch(w, l->scratch);
    for (int k = 0; wants_bias && k < w->n_workers; k++)
        memset(w->workers[k].sum, 0, w->out.channels * sizeof(float));
    for (size_t g = 0; g < w->group; g++) {
        backward_group(w, g, what);
        if (wants_weights)
            transform_weights_gradient(w, weights + g * weights_each(w));
    }
    if (wants_bias) {
        add_up_bias(w, weights_gradient_target(&w->bias_diff, l->params[1]));
        weights_gradient_done(&w->bias_diff, l->params[1], l->scratch);
    }
    if (wants_weights)
        weights_gradient_done(&w->weights_diff, l->params[0], l->scratch);
}

static void clear_images(const struct convolution_winograd *w, const struct winograd_images *m,
                         const struct pixels *images)
{
#pragma omp parallel for schedule(static, 1) num_threads(w->n_workers)
    for (int k = 0; k < w->n_workers; k++) {
        struct range share = share_of(w, k, w->n);
        memset(number_at(images->numbers, images->is_bf16, (ptrdiff_t)images_numbers(m, share.from)), 0,
               images_numbers(m, share.to - share.from) * bytes_of(images->is_bf16));
    }
}

/* All gradients at once; with fewer images than workers first those of params, by tiles. */
void convolution_winograd_backward(struct convolution_winograd *w, struct layer *l)
{
    bool params = w->wants_weights || w->wants_bias, at_once = w->n >= (size_t)w->n_workers;
    for (int i = 0; i < l->n_bottoms; i++) {
        struct gradients what = {
            .bottom = {.numbers = l->bottoms[i].data, .is_bf16 = w->is_bf16},
            .top_diff = {.numbers = l->tops[i].diff,
                         .is_bf16 = w->is_bf16,
                         .rectified = w->relu ? l->tops[i].data : NULL,
                         .rectified_is_bf16 = w->top_is_bf16},
            .bottom_diff = {.numbers = l->bottoms[i].diff, .is_bf16 = w->is_bf16},
            .params = params,
        };
        if (params && !at_once)
            backward_all(w, l, &what);
        what.params = params && at_once;
        what.data = what.bottom_diff.numbers;
        if (what.data)
            clear_images(w, &w->in, &what.bottom_diff);
        if (what.data || what.params)
            backward_all(w, l, &what);
    }
}
