#include "engine/net.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/bf16.h"
#include "engine/net_debug.h"
#include "engine/net_internal.h"
#include "engine/net_tail.h"

/* ---- making ---- */

static void sources_freep(struct source_shape **sources)
{
    free(*sources);
}

/* Opens every data layer that the state keeps, to learn the shapes of its batches. */
static enum status read_source_shapes(const Caffe__NetParameter *param, const struct netdef_options *state,
                                      const struct net_options *options, struct source_shape **ret_shapes,
                                      int *ret_n, struct error *err)
{
    CLEANUP(freep) int *layers = NULL;
    int n_layers = 0, n = 0;
    TRY(netdef_data_layers(param, state, &layers, &n_layers, err));
    CLEANUP(sources_freep) struct source_shape *shapes = xcalloc((size_t)n_layers + 1, sizeof(*shapes));
    for (int i = 0; i < n_layers; i++) {
        const Caffe__LayerParameter *layer = param->layer[layers[i]];
        if (!source_ops_find(layer->type))
            continue;
        struct source_options source = {
            .param = layer,
            .phase = state->phase,
            .folder = options->folder,
            .threads = 1,
        };
        if (source_shapes(&source, &shapes[n], err) != OK)
            return error_context(err, "layer '%s'", layer->name);
        shapes[n++].layer = layer->name;
    }
    *ret_shapes = TAKE(shapes);
    *ret_n = n;
    return OK;
}

static enum status check_shapes(const struct netdef *def, struct error *err)
{
    for (int i = 0; i < def->n_blobs; i++)
        if (!shape_is_known(&def->blobs[i].shape))
            return error_set(err, INVALID,
                             "the shape of blob '%s' is not known: its data layer '%s' did not tell it",
                             def->blobs[i].name, def->layers[def->blobs[i].producer].name);
    return OK;
}

static void make_views(struct net *net, struct layer *l, bool runs_backward)
{
    const struct netdef *def = net->def;
    l->bottoms = xcalloc((size_t)l->n_bottoms + 1, sizeof(l->bottoms[0]));
    l->tops = xcalloc((size_t)l->n_tops + 1, sizeof(l->tops[0]));
    l->params = xcalloc((size_t)l->n_params + 1, sizeof(struct param *));
    l->param_propagate_down = xcalloc((size_t)l->n_params + 1, sizeof(bool));
    for (int i = 0; i < l->n_bottoms; i++)
        l->bottoms[i].shape = def->blobs[l->def->bottoms[i]].shape;
    for (int i = 0; i < l->n_tops; i++)
        l->tops[i].shape = def->blobs[l->def->tops[i]].shape;
    for (int i = 0; i < l->n_params; i++) {
        l->params[i] = net->params[l->def->params[i]];
        l->param_propagate_down[i] = runs_backward && def->params[l->def->params[i]].propagate_down;
    }
}

static enum status make_layer(struct net *net, int index, struct rng *rng, struct error *err)
{
    const struct layer_def *ld = &net->def->layers[index];
    struct layer_plan *lp = &net->layers[index];
    const struct layer_ops *ops = layer_ops_find(ld->type->name);
    if (!ops)
        return error_set(err, UNSUPPORTED, "layer type '%s' is not in this build", ld->type->name);
    lp->rng = rng_split(rng);
    lp->runs_backward = !net->options.inference && ld->needs_backward;
    lp->layer = (struct layer){
        .def = ld,
        .ops = ops,
        .state = xcalloc(1, ops->state_size + 1),
        .n_bottoms = ld->n_bottoms,
        .n_tops = ld->n_tops,
        .n_params = ld->n_params,
        .propagate_down = ld->propagate_down,
        .phase = ld->phase,
        .rng = &lp->rng,
        .threads = net->options.threads,
        .caller_feeds = net->options.feeds_memory,
        .folder = net->folder,
    };
    make_views(net, &lp->layer, lp->runs_backward);
    bool is_outside = ld->type->is_data || strcmp(ops->type, "HDF5Output") == 0;
    if (!ops->setup || (net->options.plan_only && is_outside))
        return OK;
    return ops->setup(&lp->layer, err);
}

static enum status make_layers(struct net *net, struct rng *rng, struct error *err)
{
    for (int i = 0; i < net->n_layers; i++)
        if (make_layer(net, i, rng, err) != OK)
            return error_context(err, "layer '%s'", net->def->layers[i].name);
    return OK;
}

static struct net *net_alloc(struct netdef *def, const struct net_options *options)
{
    struct net *net = xcalloc(1, sizeof(*net));
    net->def = def;
    net->options = *options;
    net->folder = options->folder ? xstrdup(options->folder) : NULL;
    net->options.folder = net->folder;
    if (net->options.threads <= 0)
        net->options.threads = omp_get_num_procs();
    net->n_layers = def->n_layers;
    net->layers = xcalloc((size_t)def->n_layers + 1, sizeof(net->layers[0]));
    return net;
}

enum status net_create_from_def(struct netdef *def, const struct net_options *options,
                                const struct net *whole, struct net **ret_net, struct error *err)
{
    CLEANUP(net_freep) struct net *net = net_alloc(def, options);
    net->whole = whole;
    omp_set_num_threads(net->options.threads);
    TRY(precision_check(options->precision, err));
    TRY(check_shapes(def, err));
    struct rng rng;
    rng_seed(&rng, options->seed);
    struct rng fill = rng_split(&rng);
    TRY(net_params_create(net, err));
    TRY(make_layers(net, &rng, err));
    TRY(net_plan(net, err));
    TRY(net_params_allocate(net, err));
    TRY(tail_create(net, err));
    if (!options->plan_only)
        TRY(net_params_fill(net, &fill, err));
    *ret_net = TAKE(net);
    return OK;
}

enum status net_create(const Caffe__NetParameter *param, const struct netdef_options *state,
                       const struct net_options *options, struct net **ret_net, struct error *err)
{
    CLEANUP(sources_freep) struct source_shape *sources = NULL;
    struct netdef_options known = *state;
    if (!options->plan_only) {
        TRY(read_source_shapes(param, state, options, &sources, &known.n_sources, err));
        known.sources = sources;
    }
    struct netdef *def = NULL;
    TRY(netdef_create(param, &known, &def, err));
    return net_create_from_def(def, options, NULL, ret_net, err);
}

static void layer_release(struct layer *l)
{
    if (l->ops && l->ops->release)
        l->ops->release(l);
    free(l->state);
    free(l->bottoms);
    free(l->tops);
    free(l->params);
    free(l->param_propagate_down);
}

void net_free(struct net *net)
{
    if (!net)
        return;
    tail_free(net->tail);
    for (int i = 0; i < net->n_layers; i++)
        layer_release(&net->layers[i].layer);
    net_plan_release(net);
    net_params_release(net);
    free(net->layers);
    free(net->folder);
    netdef_free(net->def);
    free(net);
}

void net_freep(struct net **net)
{
    net_free(*net);
}

/* ---- running ---- */

static int64_t step_begin(const struct net *net)
{
    struct timespec now;
    if (!net->watch.step)
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void step_end(const struct net *net, enum net_step step, int layer, int64_t begin_ns)
{
    if (net->watch.step)
        net->watch.step(net->watch.context, step, layer, begin_ns, step_begin(net));
}

static void run_reorders(const struct net *net, struct reorder *list, enum net_step step, int layer)
{
    for (struct reorder *r = list; r; r = r->next) {
        int64_t begin_ns = step_begin(net);
        KERNEL_RUN(&r->kernel, net->scratch, r->from_data, r->to_data);
        step_end(net, step, layer, begin_ns);
    }
}

static enum status forward_layer(struct net *net, int layer, struct error *err)
{
    struct layer_plan *lp = &net->layers[layer];
    run_reorders(net, lp->before_forward, NET_REORDER_FORWARD, layer);
    if (tail_has_layer(net, layer))
        return tail_forward_layer(net, layer, err);
    if (lp->is_done_above || !lp->layer.ops->forward)
        return OK;
    int64_t begin_ns = step_begin(net);
    if (lp->layer.ops->forward(&lp->layer, err) != OK || tail_choose(net, layer, err) != OK)
        return error_context(err, "layer '%s'", lp->layer.def->name);
    step_end(net, NET_FORWARD, layer, begin_ns);
    return OK;
}

static void backward_layer(struct net *net, int layer)
{
    struct layer_plan *lp = &net->layers[layer];
    if (!lp->runs_backward)
        return;
    if (tail_has_layer(net, layer)) {
        tail_backward_layer(net, layer);
        return;
    }
    run_reorders(net, lp->before_backward, NET_REORDER_BACKWARD, layer);
    if (lp->is_done_above || !lp->layer.ops->backward)
        return;
    struct view *bottom = lp->layer.bottoms, *top = lp->layer.tops;
    float *own_bottom = lp->overwrites_bottom ? bottom->data : NULL,
          *own_top = lp->last_top ? top->data : NULL;
    if (own_top)
        top->data = lp->last_top;
    if (own_bottom)
        bottom->data = top->data;
    int64_t begin_ns = step_begin(net);
    lp->layer.ops->backward(&lp->layer);
    step_end(net, NET_BACKWARD, layer, begin_ns);
    if (own_top)
        top->data = own_top;
    if (own_bottom)
        bottom->data = own_bottom;
}

void net_set_watch(struct net *net, struct net_watch watch)
{
    net->watch = watch;
}

void net_set_debug_info(struct net *net, bool on)
{
    assert(net->options.debug_info);
    net->logs_passes = on;
}

enum status net_forward_layer(struct net *net, int layer, struct error *err)
{
    omp_set_num_threads(net->options.threads);
    return forward_layer(net, layer, err);
}

void net_backward_layer(struct net *net, int layer)
{
    omp_set_num_threads(net->options.threads);
    backward_layer(net, layer);
}

/* Padding is 0 and adds nothing. */
double net_layer_loss(const struct net *net, int layer)
{
    if (tail_has_layer(net, layer))
        return tail_layer_loss(net, layer);
    const struct layer *l = &net->layers[layer].layer;
    double loss = 0;
    for (int t = 0; t < l->n_tops; t++) {
        if (l->def->loss_weights[t] == 0)
            continue;
        double sum = 0;
        for (size_t i = 0; i < l->tops[t].n_floats; i++)
            sum += l->tops[t].data[i];
        loss += l->def->loss_weights[t] * sum;
    }
    return loss;
}

enum status net_forward(struct net *net, double *ret_loss, struct error *err)
{
    double loss = 0;
    omp_set_num_threads(net->options.threads);
    for (int i = 0; i < net->n_layers; i++) {
        TRY(forward_layer(net, i, err));
        if (net->logs_passes)
            net_debug_forward(net, i);
        loss += net_layer_loss(net, i);
    }
    if (ret_loss)
        *ret_loss = loss;
    return OK;
}

void net_backward(struct net *net)
{
    assert(!net->options.inference);
    omp_set_num_threads(net->options.threads);
    for (int i = net->n_layers - 1; i >= 0; i--) {
        backward_layer(net, i);
        if (net->logs_passes)
            net_debug_backward(net, i);
    }
    if (net->logs_passes)
        net_debug_params(net);
}

/* ---- the search for a value that is not finite ---- */

static bool all_finite(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

static bool params_are_finite(const struct layer *l)
{
    for (int i = 0; i < l->n_params; i++)
        if (!all_finite(l->params[i]->data, l->params[i]->n_floats))
            return false;
    return true;
}

static bool top_is_finite(const struct view *top)
{
    if (!view_is_bf16(top))
        return all_finite(top->data, top->n_floats);
    for (size_t i = 0; i < top->n_floats; i++)
        if (!isfinite(bf16_to_float(bf16_data(top)[i])))
            return false;
    return true;
}

static bool tops_are_finite(const struct layer *l)
{
    for (int t = 0; t < l->n_tops; t++)
        if (!top_is_finite(&l->tops[t]))
            return false;
    return true;
}

/* Where layer's top is not finite: a layer that it does the work of may have the parameter that made it so.
 */
static int find_cause(const struct net *net, int layer, bool *ret_is_parameter)
{
    int next = net->values[net->layers[layer].top_values[0]].consumer;
    while (next >= 0 && net->layers[next].is_done_above) {
        *ret_is_parameter = !params_are_finite(&net->layers[next].layer);
        if (*ret_is_parameter)
            return next;
        next = net->values[net->layers[next].top_values[0]].consumer;
    }
    return layer;
}

/* Tops are looked at before their memory is used again.  Layers without bottoms keep theirs: the batch. */
int net_find_not_finite(struct net *net, bool *ret_is_parameter)
{
    struct error ignored;
    omp_set_num_threads(net->options.threads);
    for (int i = 0; i < net->n_layers; i++) {
        const struct layer *l = &net->layers[i].layer;
        *ret_is_parameter = !params_are_finite(l);
        if (*ret_is_parameter)
            return i;
        if (l->n_bottoms && l->n_tops && forward_layer(net, i, &ignored) != OK)
            continue;
        if (!tops_are_finite(l))
            return find_cause(net, i, ret_is_parameter);
    }
    return -1;
}

/* ---- looking ---- */

const struct netdef *net_def(const struct net *net)
{
    return net->def;
}

static void convert(const dnnl_memory_desc_t *from_desc, const float *from, const dnnl_memory_desc_t *to_desc,
                    float *to)
{
    enum status status = kernel_convert(from_desc, from, to_desc, to, NULL);
    assert(status == OK);
    (void)status;
}

void net_blob_shape(const struct net *net, int blob, struct shape *ret_shape)
{
    if (!tail_blob_shape(net, blob, ret_shape))
        *ret_shape = net->def->blobs[blob].shape;
}

void net_blob_read(struct net *net, int blob, float *ret_plain)
{
    if (tail_blob_read(net, blob, ret_plain))
        return;
    const struct value *value = &net->values[net->blob_value[blob]];
    const struct representation *r = &net->values[value->root].representations[0];
    dnnl_memory_desc_t plain;
    desc_plain(&net->def->blobs[blob].shape, &plain);
    convert(&r->desc, memory_at(net->memory, r->buffer), &plain, ret_plain);
}

bool net_blob_diff_read(struct net *net, int blob, float *ret_plain)
{
    bool has_diff;
    if (tail_blob_diff_read(net, blob, ret_plain, &has_diff))
        return has_diff;
    const struct value *value = &net->values[net->blob_value[blob]];
    if (!value->has_diff)
        return false;
    dnnl_memory_desc_t plain;
    desc_plain(&net->def->blobs[blob].shape, &plain);
    convert(&value->diff_written, memory_at(net->memory, value->diff_buffer), &plain, ret_plain);
    return true;
}

void net_blob_write(struct net *net, int blob, const float *plain)
{
    const struct layer *l = &net->layers[net->def->blobs[blob].producer].layer;
    assert(l->n_bottoms == 0);
    for (int t = 0; t < l->n_tops; t++)
        if (l->def->tops[t] == blob)
            memcpy(l->tops[t].data, plain, l->tops[t].n_floats * sizeof(float));
}

static int64_t bytes_ahead(const struct net *net)
{
    int64_t bytes = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const struct layer_def *layer = &net->def->layers[i];
        for (int t = 0; t < layer->n_tops && source_ops_find(layer->type->name); t++)
            bytes += source_n_ahead(layer->param) * shape_count(&net->def->blobs[layer->tops[t]].shape) *
                     (int64_t)sizeof(float);
    }
    return bytes;
}

struct net_memory net_memory(const struct net *net)
{
    struct net_memory sum = {
        .blobs = memory_is_borrowed(net->memory) ? 0 : (int64_t)memory_total(net->memory),
        .params = (int64_t)net->param_bytes,
        .scratch = (int64_t)((net->scratch_is_borrowed ? 0 : net->scratch_bytes) + net->kept_bytes -
                             net->spare_bytes),
        .spare = (int64_t)net->spare_bytes,
        .ahead = bytes_ahead(net),
        .n_layers = net->n_layers,
    };
    tail_add_memory(net->tail, &sum);
    return sum;
}
