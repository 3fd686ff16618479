#include "engine/net_tail.h"

#include <stdlib.h>
#include <string.h>

#include "engine/layers/filter.h"

#define KEPT_MAX 8

/* The layers behind the Filter, for one number of items. */
struct kept_tail {
    bool is_made;
    int n_items;
    uint64_t used;   /* the larger, the later */
    struct net *net; /* NULL when no layer has anything to do */
    int *place;      /* a layer of the whole net: its index in net; -1: it does not run */
};

struct tail {
    int filter;            /* the first Filter layer */
    bool *is_behind;       /* a layer: it reads from it, or is or reads from a later Filter */
    bool *depends;         /* the first of these */
    struct kept_tail *now; /* of this pass; NULL: the net's own plan holds */
    uint64_t n_uses;
    struct kept_tail kept[KEPT_MAX];
    struct memory *blobs;      /* of all that are kept; NULL: none was needed yet */
    struct kept_tail *last;    /* whose blobs they are; NULL: nobody's */
    struct net_memory at_most; /* of a net that is planned only: what they would take */
};

/* ---- which layers ---- */

static bool is_filter(const struct net *net, int layer)
{
    return net->layers[layer].layer.ops == &layer_filter;
}

static int producer(const struct net *net, int layer, int bottom)
{
    return net->values[net->layers[layer].bottom_values[bottom]].producer;
}

static void find_layers(const struct net *net, struct tail *t)
{
    t->is_behind = xcalloc((size_t)net->n_layers, sizeof(bool));
    t->depends = xcalloc((size_t)net->n_layers, sizeof(bool));
    for (int i = t->filter + 1; i < net->n_layers; i++) {
        t->is_behind[i] = is_filter(net, i);
        for (int b = 0; b < net->layers[i].layer.n_bottoms; b++) {
            int from = producer(net, i, b);
            t->depends[i] = t->depends[i] || from == t->filter || t->depends[from];
            t->is_behind[i] = t->is_behind[i] || from == t->filter || t->is_behind[from];
        }
    }
}

static void kept_release(struct kept_tail *k)
{
    net_free(k->net);
    free(k->place);
    *k = (struct kept_tail){0};
}

void tail_free(struct tail *t)
{
    if (!t)
        return;
    for (int i = 0; i < KEPT_MAX; i++)
        kept_release(&t->kept[i]);
    memory_free(t->blobs);
    free(t->is_behind);
    free(t->depends);
    free(t);
}

/* ---- the tail for a number of items ---- */

struct part {
    int n_layers, *layers;
    int n_inputs, *inputs;
    struct shape *shapes;
};

static void part_release(struct part *p)
{
    free(p->layers);
    free(p->inputs);
    free(p->shapes);
}

/* The layers that run, and what they read from before. */
static void choose_part(const struct net *net, int n_items, int *place, struct part *p)
{
    const struct tail *t = net->tail;
    p->layers = xcalloc((size_t)net->n_layers, sizeof(int));
    p->inputs = xcalloc((size_t)net->def->n_blobs + 1, sizeof(int));
    p->shapes = xcalloc((size_t)net->def->n_blobs + 1, sizeof(*p->shapes));
    for (int i = 0; i < net->n_layers; i++) {
        place[i] = -1;
        if (!t->is_behind[i] || (t->depends[i] && n_items == 0))
            continue;
        p->layers[p->n_layers++] = i;
        place[i] = p->n_layers;
        const struct layer_def *l = &net->def->layers[i];
        for (int b = 0; b < l->n_bottoms; b++) {
            int from = producer(net, i, b);
            if (t->is_behind[from])
                continue;
            struct shape *shape = &p->shapes[p->n_inputs];
            *shape = net->def->blobs[l->bottoms[b]].shape;
            if (from == t->filter)
                shape->dim[0] = n_items;
            p->inputs[p->n_inputs++] = l->bottoms[b];
        }
    }
}

static enum status make_net(const struct net *net, const struct part *p, bool plan_only, struct net **ret_net,
                            struct error *err)
{
    struct netdef *def = NULL;
    TRY(netdef_part(net->def,
                    &(struct netdef_part){p->n_layers, p->layers, p->n_inputs, p->inputs, p->shapes}, &def,
                    err));
    struct net_options options = net->options;
    options.share = (struct net *)(uintptr_t)net;
    options.plan_only = plan_only;
    struct net *made = NULL;
    TRY(net_create_from_def(def, &options, net, &made, err));
    for (int i = 0; i < p->n_layers; i++)
        made->layers[i + 1].layer.rng = net->layers[p->layers[i]].layer.rng;
    *ret_net = made;
    return OK;
}

static enum status make_kept(const struct net *net, int n_items, bool plan_only, struct kept_tail *ret_kept,
                             struct error *err)
{
    CLEANUP(kept_release)
    struct kept_tail k = {
        .is_made = true, .n_items = n_items, .place = xcalloc((size_t)net->n_layers, sizeof(int))};
    CLEANUP(part_release) struct part p = {0};
    choose_part(net, n_items, k.place, &p);
    if (p.n_layers && make_net(net, &p, plan_only, &k.net, err) != OK)
        return error_context(err, "behind it, for %d items", n_items);
    kept_release(ret_kept);
    *ret_kept = k;
    k = (struct kept_tail){0};
    return OK;
}

const struct memory *tail_blobs(const struct net *net)
{
    return net->tail->blobs;
}

static int n_items_of(const struct net *net)
{
    return (int)net->layers[net->tail->filter].layer.tops[0].shape.dim[0];
}

/* Takes the memory for the blobs of all tails: that of the largest. */
static enum status make_blobs(struct net *net, struct error *err)
{
    CLEANUP(kept_release) struct kept_tail largest = {0};
    struct memory *blobs = memory_create();
    TRY(make_kept(net, n_items_of(net) - 1, true, &largest, err));
    memory_add(blobs, largest.net ? memory_total(largest.net->memory) : 0);
    memory_use(blobs, 0, 0);
    net->tail->blobs = blobs;
    return memory_allocate(blobs, false, err);
}

/* Its blobs are in the memory of all; what it does not write in each pass is made new after another's. */
static enum status turn_to(struct tail *t, struct kept_tail *k, struct error *err)
{
    if (t->last != k && k->net)
        TRY(net_renew_blobs(k->net, err));
    t->last = k;
    t->now = k;
    k->used = ++t->n_uses;
    return OK;
}

enum status tail_choose(struct net *net, int layer, struct error *err)
{
    struct tail *t = net->tail;
    if (!t || layer != t->filter)
        return OK;
    int n = filter_n_passed(&net->layers[layer].layer);
    t->now = NULL;
    if (n == n_items_of(net))
        return OK;
    if (!t->blobs)
        TRY(make_blobs(net, err));
    struct kept_tail *oldest = &t->kept[0], *found = NULL;
    for (int i = 0; i < KEPT_MAX; i++) {
        if (t->kept[i].is_made && t->kept[i].n_items == n)
            found = &t->kept[i];
        if (t->kept[i].used < oldest->used)
            oldest = &t->kept[i];
    }
    if (!found) {
        t->last = NULL;
        TRY(make_kept(net, n, false, oldest, err));
        found = oldest;
    }
    return turn_to(t, found, err);
}

/* ---- its memory ---- */

/* The net behind the Filter, for all items but one, once in its blobs and KEPT_MAX times in all else. */
static enum status plan_all(const struct net *net, struct tail *t, struct error *err)
{
    CLEANUP(kept_release) struct kept_tail largest = {0};
    TRY(make_kept(net, n_items_of(net) - 1, true, &largest, err));
    if (!largest.net)
        return OK;
    struct net_memory m = net_memory(largest.net);
    int64_t blobs = (int64_t)memory_total(largest.net->memory), n = MIN(KEPT_MAX, n_items_of(net) - 1);
    t->at_most = (struct net_memory){.blobs = blobs + n * (m.blobs - blobs),
                                     .params = n * m.params,
                                     .scratch = n * m.scratch,
                                     .spare = n * m.spare,
                                     .n_layers = n * m.n_layers};
    return OK;
}

enum status tail_create(struct net *net, struct error *err)
{
    for (int i = 0; i < net->n_layers && !net->tail; i++) {
        if (!is_filter(net, i))
            continue;
        net->tail = xcalloc(1, sizeof(*net->tail));
        net->tail->filter = i;
        find_layers(net, net->tail);
    }
    return net->tail && net->options.plan_only ? plan_all(net, net->tail, err) : OK;
}

void tail_add_memory(const struct tail *t, struct net_memory *sum)
{
    if (!t)
        return;
    struct net_memory all = t->at_most;
    all.blobs += t->blobs ? (int64_t)memory_total(t->blobs) : 0;
    for (int i = 0; i < KEPT_MAX; i++) {
        struct net_memory m = t->kept[i].net ? net_memory(t->kept[i].net) : (struct net_memory){0};
        all.blobs += m.blobs;
        all.params += m.params;
        all.scratch += m.scratch;
        all.spare += m.spare;
        all.n_layers += m.n_layers;
    }
    sum->blobs += all.blobs;
    sum->params += all.params;
    sum->scratch += all.scratch;
    sum->spare += all.spare;
    sum->n_layers += all.n_layers;
}

/* ---- running ---- */

bool tail_has_layer(const struct net *net, int layer)
{
    return net->tail && net->tail->now && net->tail->is_behind[layer];
}

/* The layer in the tail's net; -1: it does not run in this pass. */
static int place_of(const struct net *net, int layer)
{
    return net->tail->now->place[layer];
}

static bool is_input(const struct net *net, int layer, int bottom)
{
    return !net->tail->is_behind[producer(net, layer, bottom)];
}

static void convert(const dnnl_memory_desc_t *from_desc, const float *from, const dnnl_memory_desc_t *to_desc,
                    float *to)
{
    enum status status = kernel_convert(from_desc, from, to_desc, to, NULL);
    if (status != OK)
        abort();
}

/* The first items of the net's bottom become the tail's input. */
static void give_bottom(struct net *net, int layer, int bottom)
{
    const struct layer *l = &net->layers[layer].layer;
    const struct view *view = &l->bottoms[bottom];
    const struct layer_plan *to = &net->tail->now->net->layers[place_of(net, layer)];
    dnnl_memory_desc_t plain;
    desc_plain(&view->shape, &plain);
    CLEANUP(freep) float *values = xcalloc((size_t)shape_count(&view->shape) + 1, sizeof(float));
    convert(&view->desc, view->data, &plain, values);
    net_blob_write(net->tail->now->net, to->layer.def->bottoms[bottom], values);
}

enum status tail_forward_layer(struct net *net, int layer, struct error *err)
{
    if (place_of(net, layer) < 0)
        return OK;
    for (int b = 0; b < net->layers[layer].layer.n_bottoms; b++)
        if (is_input(net, layer, b))
            give_bottom(net, layer, b);
    return net_forward_layer(net->tail->now->net, place_of(net, layer), err);
}

/* The tail's gradient becomes that of the first items of the net's bottom; the rest is 0. */
static void take_gradient(struct net *net, int layer, int bottom)
{
    struct view *view = &net->layers[layer].layer.bottoms[bottom];
    CLEANUP(freep) float *values = xcalloc((size_t)shape_count(&view->shape) + 1, sizeof(float));
    dnnl_memory_desc_t plain;
    if (place_of(net, layer) >= 0) {
        const struct view *from = &net->tail->now->net->layers[place_of(net, layer)].layer.bottoms[bottom];
        desc_plain(&from->shape, &plain);
        convert(&from->diff_desc, from->diff, &plain, values);
    }
    desc_plain(&view->shape, &plain);
    convert(&plain, values, &view->diff_desc, view->diff);
}

void tail_backward_layer(struct net *net, int layer)
{
    struct layer_plan *lp = &net->layers[layer];
    if (!lp->runs_backward)
        return;
    if (place_of(net, layer) >= 0)
        net_backward_layer(net->tail->now->net, place_of(net, layer));
    for (int b = 0; b < lp->layer.n_bottoms; b++)
        if (is_input(net, layer, b) && lp->layer.bottoms[b].diff)
            take_gradient(net, layer, b);
}

const struct layer *tail_layer(const struct net *net, int layer)
{
    int place = place_of(net, layer);
    return place >= 0 ? &net->tail->now->net->layers[place].layer : NULL;
}

double tail_layer_loss(const struct net *net, int layer)
{
    int place = place_of(net, layer);
    return place >= 0 ? net_layer_loss(net->tail->now->net, place) : 0;
}

/* ---- blobs ---- */

static const struct value *value_of(const struct net *net, int blob)
{
    return &net->values[net->blob_value[blob]];
}

/* Where the blob is now, in the tail's net; -1: the layer that makes it does not run. */
static int tail_blob(const struct net *net, const struct value *value)
{
    int place = place_of(net, value->producer);
    return place < 0 ? -1 : net->tail->now->net->def->layers[place].tops[value->top];
}

bool tail_blob_shape(const struct net *net, int blob, struct shape *ret_shape)
{
    const struct tail *t = net->tail;
    const struct value *value = value_of(net, blob);
    if (!t || !t->now || (!t->is_behind[value->producer] && value->producer != t->filter))
        return false;
    int there = t->is_behind[value->producer] ? tail_blob(net, value) : -1;
    if (there >= 0) {
        net_blob_shape(t->now->net, there, ret_shape);
        return true;
    }
    *ret_shape = net->def->blobs[blob].shape;
    if (ret_shape->n_axes > 0)
        ret_shape->dim[0] = t->now->n_items;
    return true;
}

bool tail_blob_read(struct net *net, int blob, float *ret_plain)
{
    const struct value *value = value_of(net, blob);
    if (!tail_has_layer(net, value->producer))
        return false;
    int there = tail_blob(net, value);
    memset(ret_plain, 0, (size_t)shape_count(&net->def->blobs[blob].shape) * sizeof(float));
    if (there >= 0)
        net_blob_read(net->tail->now->net, there, ret_plain);
    return true;
}

bool tail_blob_diff_read(struct net *net, int blob, float *ret_plain, bool *ret_has_diff)
{
    const struct value *value = value_of(net, blob);
    if (!tail_has_layer(net, value->producer))
        return false;
    int there = tail_blob(net, value);
    memset(ret_plain, 0, (size_t)shape_count(&net->def->blobs[blob].shape) * sizeof(float));
    *ret_has_diff = there >= 0 && net_blob_diff_read(net->tail->now->net, there, ret_plain);
    return true;
}
