#include "engine/layers/convolution_winograd.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "engine/elementwise.h"

enum { BLOCK = 16 }; /* channels of a block */

/* What a thread has of its own; the pointers are into the layer's scratch memory. */
struct winograd_worker {
    struct kernel forward, data, weights;
    float *in, *out;   /* (64,tiles,I) and (64,tiles,O) of one group */
    float *diff, *sum; /* (64,I,O) of one group, and (O) of all: gradients so far */
    float *scratch;
};

/* Rows of tiles of an image, or columns: axis 0 or 1. */
static dnnl_dim_t tiles_along(const struct convolution_winograd_params *params, int axis)
{
    int outs = winograd_transforms((int)params->kernel)->outs;
    return (params->out_size[axis] + outs - 1) / outs;
}

bool convolution_winograd_suits(const struct convolution_winograd_params *params)
{
    /* With more weights than that, the products of all of them fill the memory and not the caches. */
    enum { CHANNELS_MIN = 16, WEIGHTS_MAX = 1 << 16, TILES_MIN = 16 };
    dnnl_dim_t in = params->in / params->group, out = params->out / params->group;
    return winograd_transforms((int)params->kernel) && MIN(in, out) >= CHANNELS_MIN &&
           in * out <= WEIGHTS_MAX &&
           params->n * tiles_along(params, 0) * tiles_along(params, 1) >= TILES_MIN;
}

/* ---- plan ---- */

/* Floats of a group's kernels. */
static size_t weights_each(const struct convolution_winograd *w)
{
    size_t kernel = (size_t)w->transforms->kernel;
    return w->in.group_channels * w->out.group_channels * kernel * kernel;
}

/* The same, transformed. */
static size_t products_each(const struct convolution_winograd *w)
{
    return WINOGRAD_PRODUCTS * w->in.group_channels * w->out.group_channels;
}

static size_t tiles_each(const struct convolution_winograd *w)
{
    return w->rows * w->columns;
}

static size_t images_floats(const struct winograd_images *m, size_t n)
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
        .is_blocked = channels / params->group % BLOCK == 0,
        .square = square,
    };
}

static dnnl_memory_desc_t images_desc(const struct convolution_winograd *w, const struct winograd_images *m)
{
    dnnl_dims_t dims = {(dnnl_dim_t)w->n, (dnnl_dim_t)m->channels, (dnnl_dim_t)m->height,
                        (dnnl_dim_t)m->width};
    dnnl_memory_desc_t desc;
    dnnl_memory_desc_init_by_tag(&desc, 4, dims, dnnl_f32, m->is_blocked ? dnnl_nChw16c : dnnl_nhwc);
    return desc;
}

/* Over the axes of `plain`, (O,I,k,k) or (group,O,I,k,k): the output channel last. */
static dnnl_memory_desc_t weights_desc(const dnnl_memory_desc_t *plain)
{
    int o = plain->ndims - 4;
    dnnl_dims_t strides = {0};
    strides[o] = 1;
    strides[o + 1] = plain->dims[o];
    strides[o + 3] = plain->dims[o + 1] * strides[o + 1];
    strides[o + 2] = plain->dims[o + 3] * strides[o + 3];
    if (o > 0)
        strides[0] = plain->dims[o + 2] * strides[o + 2];
    dnnl_memory_desc_t desc;
    dnnl_memory_desc_init_by_strides(&desc, plain->ndims, plain->dims, dnnl_f32, strides);
    return desc;
}

/* (64,rows,columns), each matrix the other way round in memory when it is transposed. */
static dnnl_memory_desc_t products_desc(size_t rows, size_t columns, bool transposed)
{
    dnnl_dims_t dims = {WINOGRAD_PRODUCTS, (dnnl_dim_t)rows, (dnnl_dim_t)columns};
    dnnl_memory_desc_t desc;
    dnnl_memory_desc_init_by_tag(&desc, 3, dims, dnnl_f32, transposed ? dnnl_acb : dnnl_abc);
    return desc;
}

/* c = a b, or c += a b; arguments: a, b, c. */
static enum status plan_product(struct kernel *k, const dnnl_memory_desc_t *a, const dnnl_memory_desc_t *b,
                                const dnnl_memory_desc_t *c, bool add, struct error *err)
{
    dnnl_matmul_desc_t op;
    dnnl_post_ops_t sum = NULL;
    CLEANUP(pd_freep) dnnl_primitive_desc_t pd = NULL;
    if (dnnl_post_ops_create(&sum) != dnnl_success ||
        dnnl_matmul_desc_init(&op, a, b, NULL, c) != dnnl_success)
        return error_set(err, FAILED, "oneDNN cannot describe a multiplication of matrices");
    if (add)
        dnnl_post_ops_append_sum(sum, 1);
    pd = pd_make(&op, sum, NULL);
    dnnl_post_ops_destroy(sum);
    if (!pd)
        return error_set(err, FAILED, "oneDNN cannot multiply matrices");
    TRY(kernel_init(k, pd, err));
    kernel_arg(k, DNNL_ARG_SRC, a);
    kernel_arg(k, DNNL_ARG_WEIGHTS, b);
    kernel_arg(k, DNNL_ARG_DST, c);
    return OK;
}

static enum status plan_worker(const struct convolution_winograd *w, struct winograd_worker *k,
                               const struct convolution_winograd_params *params, struct error *err)
{
    size_t in = w->in.group_channels, out = w->out.group_channels;
    dnnl_memory_desc_t x = products_desc(w->tiles, in, false), y = products_desc(w->tiles, out, false);
    dnnl_memory_desc_t kernels = products_desc(in, out, false), kernels_back = products_desc(out, in, true);
    dnnl_memory_desc_t x_back = products_desc(in, w->tiles, true);
    TRY(plan_product(&k->forward, &x, &kernels, &y, false, err));
    if (params->wants_data)
        TRY(plan_product(&k->data, &y, &kernels_back, &x, false, err));
    if (params->wants_weights)
        TRY(plan_product(&k->weights, &x_back, &y, &kernels, true, err));
    return OK;
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
        status = plan_worker(w, &w->workers[i], params, err);
    omp_set_num_threads(w->n_workers);
    return status;
}

/*
 * Few, so that a thread's products stay in its caches, but enough to be worth
 * going through all kernels for them: their products take twice the memory of
 * the kernels'.  An odd number: the 64 products of a tile lie that many rows
 * apart, and would meet in a few sets of the caches.
 */
static size_t tiles_at_a_time(const struct convolution_winograd *w)
{
    enum { FEW = 15, MANY = 63, CACHE_BYTES = 512 << 10 };
    size_t tile = WINOGRAD_PRODUCTS * (w->in.group_channels + w->out.group_channels) * sizeof(float);
    size_t bytes = MAX(2 * products_each(w) * sizeof(float), CACHE_BYTES);
    size_t most = MAX(FEW, MIN(MANY, bytes / tile)), threads = (size_t)omp_get_max_threads();
    size_t each = (w->n * tiles_each(w) + threads - 1) / threads;
    size_t times = (each + most - 1) / most;
    return (each + times - 1) / times | 1;
}

static size_t take(size_t *at, size_t floats)
{
    size_t from = *at;
    *at += kernel_align(floats * sizeof(float)) / sizeof(float);
    return from;
}

/* A worker's memory; returns its floats in all.  scratch NULL: only these are asked for. */
static size_t share_scratch(const struct convolution_winograd *w, struct winograd_worker *k, float *scratch)
{
    size_t floats = 0, in = w->in.group_channels, out = w->out.group_channels;
    size_t kernels = MAX(k->forward.scratch_bytes, MAX(k->data.scratch_bytes, k->weights.scratch_bytes));
    size_t x = take(&floats, WINOGRAD_PRODUCTS * w->tiles * in);
    size_t y = take(&floats, WINOGRAD_PRODUCTS * w->tiles * out);
    size_t diff = take(&floats, w->wants_weights ? products_each(w) : 0);
    size_t sum = take(&floats, w->wants_bias ? w->out.channels : 0);
    size_t rest = take(&floats, kernels / sizeof(float) + 1);
    if (scratch) {
        k->in = scratch + x;
        k->out = scratch + y;
        k->diff = scratch + diff;
        k->sum = scratch + sum;
        k->scratch = scratch + rest;
    }
    return floats;
}

static enum status plan_params(struct convolution_winograd *w, const struct layer *l, struct planner *p,
                               const dnnl_memory_desc_t *plain, struct error *err)
{
    dnnl_memory_desc_t weights = weights_desc(plain), bias;
    plan_param(p, 0, &weights, plain);
    TRY(weights_copy_plan(&w->weights, p, l->params[0], &weights, plain, err));
    w->kernels = plan_keep(p, w->group * products_each(w) * sizeof(float));
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
    const struct winograd_transforms *transforms = winograd_transforms((int)params->kernel);
    *w = (struct convolution_winograd){
        .transforms = transforms,
        .in = images_of(params->in, params, params->size, WINOGRAD_IN),
        .out = images_of(params->out, params, params->out_size, transforms->outs),
        .n = (size_t)params->n,
        .group = (size_t)params->group,
        .rows = (size_t)tiles_along(params, 0),
        .columns = (size_t)tiles_along(params, 1),
        .wants_weights = params->wants_weights,
        .wants_bias = params->wants_bias,
        .relu = params->relu,
    };
    w->in.pad[0] = (int)params->pad[0];
    w->in.pad[1] = (int)params->pad[1];
    w->tiles = tiles_at_a_time(w);
    TRY(plan_params(w, l, p, plain, err));
    TRY(plan_workers(w, params, err));
    plan_scratch(p, (size_t)w->n_workers * share_scratch(w, &w->workers[0], NULL) * sizeof(float));
    dnnl_memory_desc_t in = images_desc(w, &w->in), out = images_desc(w, &w->out);
    for (int i = 0; i < l->n_bottoms; i++) {
        plan_bottom(p, i, &in);
        plan_top(p, i, &out);
        plan_top_diff(p, i, &out);
    }
    return OK;
}

void convolution_winograd_release(struct convolution_winograd *w)
{
    for (int i = 0; i < w->n_workers; i++) {
        kernel_release(&w->workers[i].forward);
        kernel_release(&w->workers[i].data);
        kernel_release(&w->workers[i].weights);
    }
    free(w->workers);
    weights_copy_release(&w->weights);
    weights_gradient_release(&w->weights_diff);
    weights_gradient_release(&w->bias_diff);
}

/* ---- tiles ---- */

/* The tile's square of the images, its first channel. */
static struct winograd_tile tile_at(const struct convolution_winograd *w, const struct winograd_images *m,
                                    float *images, size_t tile)
{
    size_t image = tile / tiles_each(w), pixel = m->is_blocked ? BLOCK : m->channels;
    int y = (int)(tile % tiles_each(w) / w->columns) * w->transforms->outs - m->pad[0];
    int x = (int)(tile % w->columns) * w->transforms->outs - m->pad[1];
    ptrdiff_t first = (ptrdiff_t)images_floats(m, image) + ((ptrdiff_t)m->width * y + x) * (ptrdiff_t)pixel;
    return (struct winograd_tile){
        .at = images + first,
        .row = m->width * pixel,
        .pixel = pixel,
        .top = MAX(0, -y),
        .left = MAX(0, -x),
        .bottom = MIN(m->square, (int)m->height - y),
        .right = MIN(m->square, (int)m->width - x),
    };
}

/* Floats from the first channel's number to that of another channel. */
static size_t channel_at(const struct winograd_images *m, size_t channel)
{
    return m->is_blocked ? channel / BLOCK * BLOCK * m->height * m->width + channel % BLOCK : channel;
}

struct range {
    size_t from, to;
};

/*
 * Tiles of one group's channels, between images and products (64,tiles,C).
 * each: numbers of all groups' channels, or NULL.
 */
static void transform(const struct convolution_winograd *w, winograd_transform *how,
                      const struct winograd_images *m, float *images, size_t g, struct range tiles,
                      float *products, const float *each)
{
    size_t channels = m->group_channels, lanes = w->transforms->lanes;
    for (size_t t = tiles.from; t < tiles.to; t++) {
        struct winograd_tile tile = tile_at(w, m, images, t);
        float *pixels = tile.at, *product = products + (t - tiles.from) * channels;
        for (size_t c = 0; c < channels; c += lanes) {
            size_t channel = g * channels + c;
            tile.at = pixels + channel_at(m, channel);
            how(&tile, MIN(lanes, channels - c), product + c, w->tiles * channels,
                each ? (float *)each + channel : NULL);
        }
    }
}

/* Of so many tiles there are fewer at the end: what lies behind them counts as 0. */
static void clear_rest(const struct convolution_winograd *w, float *products, size_t channels, size_t tiles)
{
    for (size_t k = 0; tiles < w->tiles && k < WINOGRAD_PRODUCTS; k++)
        memset(products + (k * w->tiles + tiles) * channels, 0,
               (w->tiles - tiles) * channels * sizeof(float));
}

/* ---- running ---- */

/* A worker's share of so many things. */
static struct range share_of(const struct convolution_winograd *w, int worker, size_t things)
{
    size_t workers = (size_t)w->n_workers, i = (size_t)worker;
    return (struct range){things * i / workers, things * (i + 1) / workers};
}

/* The first tiles of a range, as many as are done at a time, which are taken from it. */
static struct range next_tiles(const struct convolution_winograd *w, struct range *rest)
{
    struct range tiles = {rest->from, MIN(rest->to, rest->from + w->tiles)};
    rest->from = tiles.to;
    return tiles;
}

static void share_all_scratch(struct convolution_winograd *w, const struct layer *l)
{
    float *scratch = l->scratch;
    for (int i = 0; i < w->n_workers; i++)
        scratch += share_scratch(w, &w->workers[i], scratch);
}

void convolution_winograd_renew(struct convolution_winograd *w, struct layer *l, const float *factors)
{
    size_t out = w->out.group_channels, n = w->in.group_channels * out;
    const float *weights = weights_copy_get(&w->weights, l->params[0], l->scratch);
    for (size_t g = 0; g < w->group; g++) {
        float *kernels = w->kernels + g * products_each(w);
        w->transforms->kernels(weights + g * weights_each(w), n, kernels);
        for (size_t i = 0; factors && i < products_each(w); i++)
            kernels[i] *= factors[g * out + i % out];
    }
    w->version = l->params[0]->version;
}

static void forward_share(struct convolution_winograd *w, struct winograd_worker *k, struct range share,
                          size_t g, float *bottom, float *top, const float *bias)
{
    winograd_transform *out = w->relu ? w->transforms->out_or_zero : w->transforms->out;
    while (share.from < share.to) {
        struct range tiles = next_tiles(w, &share);
        transform(w, w->transforms->in, &w->in, bottom, g, tiles, k->in, NULL);
        KERNEL_RUN(&k->forward, k->scratch, k->in, w->kernels + g * products_each(w), k->out);
        transform(w, out, &w->out, top, g, tiles, k->out, bias);
    }
}

void convolution_winograd_forward(struct convolution_winograd *w, struct layer *l, const float *bias)
{
    if (w->version != l->params[0]->version)
        convolution_winograd_renew(w, l, NULL);
    share_all_scratch(w, l);
    for (int i = 0; i < l->n_bottoms; i++)
#pragma omp parallel for schedule(static, 1) num_threads(w->n_workers)
        for (int k = 0; k < w->n_workers; k++)
            for (size_t g = 0; g < w->group; g++)
                forward_share(w, &w->workers[k], share_of(w, k, w->n * tiles_each(w)), g, l->bottoms[i].data,
                              l->tops[i].data, bias);
}

static void gradient_share(struct convolution_winograd *w, struct winograd_worker *k, struct range share,
                           size_t g, float *bottom, float *top_diff)
{
    if (w->wants_weights)
        memset(k->diff, 0, products_each(w) * sizeof(float));
    while (share.from < share.to) {
        struct range tiles = next_tiles(w, &share);
        transform(w, w->transforms->out_diff, &w->out, top_diff, g, tiles, k->out,
                  w->wants_bias ? k->sum : NULL);
        if (!w->wants_weights)
            continue;
        transform(w, w->transforms->in, &w->in, bottom, g, tiles, k->in, NULL);
        clear_rest(w, k->in, w->in.group_channels, tiles.to - tiles.from);
        clear_rest(w, k->out, w->out.group_channels, tiles.to - tiles.from);
        KERNEL_RUN(&k->weights, k->scratch, k->in, k->out, k->diff);
    }
}

/* The workers' sums come into the first one's. */
static void add_up(const struct convolution_winograd *w, bool is_bias, size_t n)
{
    float *sum = is_bias ? w->workers[0].sum : w->workers[0].diff;
    for (int k = 1; k < w->n_workers; k++) {
        const float *more = is_bias ? w->workers[k].sum : w->workers[k].diff;
        ELEMENTWISE(i, n, sum[i] += more[i]);
    }
}

static void add_gradients(struct convolution_winograd *w, struct layer *l, int i)
{
    size_t n = w->in.group_channels * w->out.group_channels;
    float *weights = w->wants_weights ? weights_gradient_target(&w->weights_diff, l->params[0]) : NULL;
    share_all_scratch(w, l);
    for (int k = 0; w->wants_bias && k < w->n_workers; k++)
        memset(w->workers[k].sum, 0, w->out.channels * sizeof(float));
    for (size_t g = 0; g < w->group; g++) {
#pragma omp parallel for schedule(static, 1) num_threads(w->n_workers)
        for (int k = 0; k < w->n_workers; k++)
            gradient_share(w, &w->workers[k], share_of(w, k, w->n * tiles_each(w)), g, l->bottoms[i].data,
                           l->tops[i].diff);
        if (!w->wants_weights)
            continue;
        add_up(w, false, products_each(w));
        w->transforms->kernels_diff(w->workers[0].diff, n, weights + g * weights_each(w));
    }
    if (w->wants_bias) {
        add_up(w, true, w->out.channels);
        memcpy(weights_gradient_target(&w->bias_diff, l->params[1]), w->workers[0].sum,
               w->out.channels * sizeof(float));
        weights_gradient_done(&w->bias_diff, l->params[1], l->scratch);
    }
    if (w->wants_weights)
        weights_gradient_done(&w->weights_diff, l->params[0], l->scratch);
}

/* Of whole images: neighbouring tiles see the same inputs. */
static void data_share(struct convolution_winograd *w, struct winograd_worker *k, struct range images,
                       float *bottom_diff, float *top_diff)
{
    memset(bottom_diff + images_floats(&w->in, images.from), 0,
           images_floats(&w->in, images.to - images.from) * sizeof(float));
    for (size_t g = 0; g < w->group; g++) {
        struct range share = {images.from * tiles_each(w), images.to * tiles_each(w)};
        while (share.from < share.to) {
            struct range tiles = next_tiles(w, &share);
            transform(w, w->transforms->out_diff, &w->out, top_diff, g, tiles, k->out, NULL);
            KERNEL_RUN(&k->data, k->scratch, k->out, w->kernels + g * products_each(w), k->in);
            transform(w, w->transforms->in_diff, &w->in, bottom_diff, g, tiles, k->in, NULL);
        }
    }
}

void convolution_winograd_backward(struct convolution_winograd *w, struct layer *l)
{
    for (int i = 0; (w->wants_weights || w->wants_bias) && i < l->n_bottoms; i++)
        add_gradients(w, l, i);
    share_all_scratch(w, l);
    for (int i = 0; i < l->n_bottoms; i++) {
        if (!l->bottoms[i].diff)
            continue;
#pragma omp parallel for schedule(static, 1) num_threads(w->n_workers)
        for (int k = 0; k < w->n_workers; k++)
            data_share(w, &w->workers[k], share_of(w, k, w->n), l->bottoms[i].diff, l->tops[i].diff);
    }
}
