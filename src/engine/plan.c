/*
 * plan.c - from a definition to buffers, reorders and pointers.
 *
 *   make_values: who writes and who reads what
 *   plan_layer, in order: each layer chooses its representations
 *   plan_diffs, in reverse order: gradients' buffers and reorders
 *   merge_in_place, memory_allocate, point_views
 */
#include "engine/plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/net_internal.h"
#include "engine/net_tail.h"

struct request {
    bool is_asked;
    dnnl_memory_desc_t desc;
};

struct planner {
    struct net *net;
    int index; /* of the layer */
    struct layer_plan *lp;
    struct request *bottoms, *bottom_diffs, *tops, *top_diffs;
    dnnl_memory_desc_t *lies; /* the bottoms, as plan_bottom_desc tells of them */
    int last_value;           /* top 0, or what the layers that this one takes over make of it */
};

static int forward_time(int layer)
{
    return layer;
}

/* When a layer's backward writes the gradients of its bottoms; it starts one earlier. */
static int backward_time(const struct net *net, int layer)
{
    return net->n_layers + 2 * (net->n_layers - 1 - layer) + 1;
}

static int end_time(const struct net *net)
{
    return 3 * net->n_layers;
}

/* What is only read from, before any bottom's gradient is written. */
static int backward_read_time(const struct net *net, int layer)
{
    int time = backward_time(net, layer);
    return net->layers[layer].reads_bottoms_first ? time - 1 : time;
}

static struct value *root_of(const struct net *net, int value)
{
    return &net->values[net->values[value].root];
}

/* ---- values ---- */

static float loss_weight(const struct net *net, const struct value *v)
{
    return net->def->layers[v->producer].loss_weights[v->top];
}

static bool is_split(const struct layer_plan *lp)
{
    return lp->layer.ops->tops_are_bottom && lp->layer.n_tops > 1;
}

static void make_values(struct net *net)
{
    const struct netdef *def = net->def;
    int n = 0;
    for (int i = 0; i < def->n_layers; i++)
        n += def->layers[i].n_tops;
    net->values = xcalloc((size_t)n + 1, sizeof(net->values[0]));
    net->blob_value = xcalloc((size_t)def->n_blobs + 1, sizeof(int));
    for (int i = 0; i < def->n_layers; i++) {
        const struct layer_def *ld = &def->layers[i];
        struct layer_plan *lp = &net->layers[i];
        lp->bottom_values = xcalloc((size_t)ld->n_bottoms + 1, sizeof(int));
        lp->top_values = xcalloc((size_t)ld->n_tops + 1, sizeof(int));
        for (int b = 0; b < ld->n_bottoms; b++) {
            int v = net->blob_value[ld->bottoms[b]];
            struct value *value = &net->values[v];
            assert(value->consumer == -1);
            lp->bottom_values[b] = v;
            value->consumer = i;
            value->bottom = b;
            value->has_diff = lp->runs_backward && ld->propagate_down[b];
        }
        for (int t = 0; t < ld->n_tops; t++) {
            int v = net->n_values++;
            bool shares = is_split(lp);
            net->values[v] = (struct value){
                .blob = ld->tops[t],
                .producer = i,
                .top = t,
                .consumer = -1,
                .bottom = -1,
                .root = shares ? net->values[lp->bottom_values[0]].root : v,
                .diff_buffer = -1,
                .wanted_buffer = -1,
            };
            lp->top_values[t] = v;
            net->blob_value[ld->tops[t]] = v;
        }
    }
}

/* ---- what a layer may ask ---- */

bool plan_is_training(const struct planner *p)
{
    return p->lp->runs_backward;
}

bool plan_wants_bottom_diff(const struct planner *p, int bottom)
{
    return p->net->values[p->lp->bottom_values[bottom]].has_diff;
}

const dnnl_memory_desc_t *plan_bottom_desc(const struct planner *p, int bottom)
{
    const dnnl_memory_desc_t *desc = &root_of(p->net, p->lp->bottom_values[bottom])->representations[0].desc;
    bool takes_any = p->lp->layer.ops->bf16 || p->lp->is_done_above;
    p->lies[bottom] = takes_any ? *desc : desc_of_type(desc, dnnl_f32);
    return &p->lies[bottom];
}

bool plan_is_bf16(const struct planner *p)
{
    return p->net->options.precision == PRECISION_BF16;
}

/* Layers that only pass on what they read have use for bf16 when a reader of theirs has. */
static bool has_use_for_bf16(const struct net *net, int v)
{
    const struct value *value = &net->values[v];
    if (value->consumer < 0 || loss_weight(net, value) != 0)
        return false;
    const struct layer_plan *reader = &net->layers[value->consumer];
    if (!reader->layer.ops->any_representation && !reader->layer.ops->tops_are_bottom)
        return reader->layer.ops->bf16;
    bool has = false;
    for (int t = 0; reader->layer.ops->bf16 && t < reader->layer.n_tops; t++)
        has = has || has_use_for_bf16(net, reader->top_values[t]);
    return has;
}

dnnl_data_type_t plan_top_type(const struct planner *p, int top)
{
    int value = top == 0 ? p->last_value : p->lp->top_values[top];
    return plan_is_bf16(p) && has_use_for_bf16(p->net, value) ? dnnl_bf16 : dnnl_f32;
}

static void ask(struct request *r, const dnnl_memory_desc_t *desc)
{
    r->is_asked = true;
    r->desc = *desc;
}

void plan_bottom(struct planner *p, int bottom, const dnnl_memory_desc_t *desc)
{
    ask(&p->bottoms[bottom], desc);
}

void plan_bottom_diff(struct planner *p, int bottom, const dnnl_memory_desc_t *desc)
{
    ask(&p->bottom_diffs[bottom], desc);
}

void plan_top(struct planner *p, int top, const dnnl_memory_desc_t *desc)
{
    ask(&p->tops[top], desc);
}

void plan_top_diff(struct planner *p, int top, const dnnl_memory_desc_t *desc)
{
    ask(&p->top_diffs[top], desc);
}

void plan_backward_needs(struct planner *p, unsigned needs)
{
    p->lp->backward_needs = needs;
}

void plan_backward_mixes(struct planner *p)
{
    p->lp->reads_bottoms_first = false;
}

void plan_scratch(struct planner *p, size_t bytes)
{
    p->net->scratch_bytes = MAX(p->net->scratch_bytes, kernel_align(bytes));
}

void plan_workspace(struct planner *p, size_t bytes)
{
    struct net *net = p->net;
    int buffer = memory_add(net->memory, bytes);
    memory_use(net->memory, buffer, forward_time(p->index));
    if (p->lp->runs_backward)
        memory_use(net->memory, buffer, backward_time(net, p->index));
    p->lp->workspace_buffer = buffer;
}

void *plan_keep(struct planner *p, size_t bytes)
{
    struct kept *kept = xcalloc(1, sizeof(*kept));
    kept->bytes = bytes;
    kept->pages = memory_pages(bytes);
    p->net->kept_failed = p->net->kept_failed || !kept->pages;
    kept->next = p->net->kept;
    p->net->kept = kept;
    p->net->kept_bytes += bytes;
    return kept->pages;
}

void *plan_keep_spare(struct planner *p, size_t bytes)
{
    p->net->spare_bytes += bytes;
    return plan_keep(p, bytes);
}

/* Users of one parameter that are layers of different types agree on plain only. */
static bool users_differ(const struct net *net, int owner)
{
    const struct layer_type *type = NULL;
    for (int i = 0; i < net->def->n_params; i++) {
        if (net->def->params[i].owner != owner)
            continue;
        const struct layer_type *other = net->def->layers[net->def->params[i].layer].type;
        if (type && other != type)
            return true;
        type = other;
    }
    return false;
}

const dnnl_memory_desc_t *plan_param(struct planner *p, int param, const dnnl_memory_desc_t *desc,
                                     const dnnl_memory_desc_t *plain)
{
    struct net *net = p->net;
    int owner = net->def->params[p->lp->layer.def->params[param]].owner;
    struct param *q = net->params[owner];
    if (net->param_is_own[owner] && !net->param_is_planned[owner]) {
        net->param_is_planned[owner] = true;
        if (!users_differ(net, owner)) {
            q->desc = *desc;
            q->plain = *plain;
            q->n_floats = dnnl_memory_desc_get_size(desc) / sizeof(float);
        }
    }
    return &q->desc;
}

/*
 * The layer that reads the last value, when this one may do its work; NULL: none.
 * Where both run backward, the gradient that this one gets is that of the last value.
 */
static struct layer_plan *next_to_take(const struct planner *p)
{
    struct net *net = p->net;
    const struct value *last = &net->values[p->last_value];
    if (net->options.debug_info || p->lp->layer.n_tops != 1 || last->consumer < 0)
        return NULL;
    struct layer_plan *reader = &net->layers[last->consumer];
    if (reader->runs_backward != p->lp->runs_backward || last->has_diff != reader->runs_backward ||
        (net->options.keep_blobs && reader->layer.def->tops[0] != last->blob))
        return NULL;
    return reader;
}

static void take(struct planner *p, struct layer_plan *reader)
{
    reader->is_done_above = true;
    p->last_value = reader->top_values[0];
}

int plan_take_changes(struct planner *p, const struct layer *ret_taken[PLAN_MAX_TAKEN])
{
    int n = 0;
    while (n < PLAN_MAX_TAKEN && p->net->options.inference) {
        struct layer_plan *reader = next_to_take(p);
        if (!reader || !reader->layer.ops->folds || !reader->layer.ops->folds(&reader->layer))
            break;
        ret_taken[n++] = &reader->layer;
        take(p, reader);
    }
    return n;
}

const struct layer *plan_take_change(struct planner *p)
{
    struct layer_plan *reader = next_to_take(p);
    if (!reader || !reader->layer.ops->learn || !reader->layer.ops->folds(&reader->layer))
        return NULL;
    take(p, reader);
    return &reader->layer;
}

static bool is_overwritten(const struct net *net, const struct layer_plan *lp)
{
    return net->blob_value[lp->layer.def->tops[0]] != lp->top_values[0];
}

bool plan_top_is_overwritten(const struct planner *p)
{
    return is_overwritten(p->net, p->lp);
}

bool plan_take_relu_both_ways(struct planner *p)
{
    struct layer_plan *reader = next_to_take(p);
    if (!reader || strcmp(reader->layer.ops->type, "ReLU") != 0)
        return false;
    /* Its backward would read what the layers behind it wrote. */
    if (reader->runs_backward && is_overwritten(p->net, reader))
        return false;
    const Caffe__ReLUParameter *param = reader->layer.def->param->relu_param;
    if (param && param->negative_slope != 0)
        return false;
    take(p, reader);
    return true;
}

bool plan_take_relu(struct planner *p)
{
    return !p->lp->runs_backward && plan_take_relu_both_ways(p);
}

/* ---- one layer ---- */

static bool may_lie_in_place(const struct layer_plan *lp)
{
    return lp->layer.ops->any_representation || lp->layer.ops->in_place;
}

static bool same_desc(const dnnl_memory_desc_t *a, const dnnl_memory_desc_t *b)
{
    return dnnl_memory_desc_equal(a, b) ||
           (a->data_type == b->data_type && desc_is_plain(a) && desc_is_plain(b));
}

static enum status add_reorder(struct net *net, struct reorder **list, const dnnl_memory_desc_t *from_desc,
                               int from, const dnnl_memory_desc_t *to_desc, int to, struct error *err)
{
    struct reorder *r = xcalloc(1, sizeof(*r));
    r->from = from;
    r->to = to;
    r->next = *list;
    *list = r;
    TRY(kernel_init_reorder(&r->kernel, from_desc, to_desc, false, err));
    net->scratch_bytes = MAX(net->scratch_bytes, kernel_align(r->kernel.scratch_bytes));
    return OK;
}

/* The buffer that has the value in this representation, made by a reorder when there is none. */
static enum status find_representation(struct net *net, int layer, int v, const dnnl_memory_desc_t *desc,
                                       int *ret_buffer, struct error *err)
{
    struct value *root = root_of(net, v);
    for (int i = 0; i < root->n_representations; i++) {
        if (same_desc(&root->representations[i].desc, desc)) {
            *ret_buffer = root->representations[i].buffer;
            return OK;
        }
    }
    const struct representation *first = &root->representations[0];
    int buffer = memory_add(net->memory, dnnl_memory_desc_get_size(desc));
    memory_use(net->memory, buffer, forward_time(layer));
    memory_use(net->memory, first->buffer, forward_time(layer));
    TRY(add_reorder(net, &net->layers[layer].before_forward, &first->desc, first->buffer, desc, buffer, err));
    if (root->n_representations < VALUE_MAX_REPRESENTATIONS)
        root->representations[root->n_representations++] = (struct representation){*desc, buffer};
    *ret_buffer = buffer;
    return OK;
}

static void default_request(struct request *r, const struct shape *shape, const struct request *otherwise)
{
    if (r->is_asked)
        return;
    if (otherwise && otherwise->is_asked)
        r->desc = otherwise->desc;
    else
        desc_plain(shape, &r->desc);
}

static enum status plan_bottoms(struct planner *p, struct error *err)
{
    struct net *net = p->net;
    struct layer_plan *lp = p->lp;
    bool is_read = !is_split(lp);
    for (int b = 0; b < lp->layer.n_bottoms; b++) {
        struct view *view = &lp->layer.bottoms[b];
        default_request(&p->bottom_diffs[b], &view->shape, &p->bottoms[b]);
        default_request(&p->bottoms[b], &view->shape, NULL);
        view->desc = p->bottoms[b].desc;
        view->diff_desc = p->bottom_diffs[b].desc;
        view->n_floats = desc_n_elements(&view->desc);
        TRY(find_representation(net, p->index, lp->bottom_values[b], &view->desc, &lp->bottom_buffers[b],
                                err));
        if (is_read)
            memory_use(net->memory, lp->bottom_buffers[b], forward_time(p->index));
        if (lp->runs_backward && (lp->backward_needs & NEEDS_BOTTOM_DATA) && !lp->overwrites_bottom)
            memory_use(net->memory, lp->bottom_buffers[b], backward_read_time(net, p->index));
        net->values[lp->bottom_values[b]].diff_written = view->diff_desc;
    }
    return OK;
}

/* A top that nobody reads stays for the caller, and so does what a layer without bottoms wrote once. */
static void plan_top_lifetime(struct net *net, const struct layer_plan *lp, int index, int buffer, int v)
{
    memory_use(net->memory, buffer, forward_time(index));
    if (lp->layer.n_bottoms == 0)
        memory_fix(net->memory, buffer);
    if (net->values[v].consumer < 0)
        memory_use(net->memory, buffer, end_time(net));
    bool is_needed = lp->backward_needs & (NEEDS_TOP_DATA | NEEDS_TOP_BLOB);
    if (lp->runs_backward && (is_needed || lp->overwrites_bottom))
        memory_use(net->memory, buffer, backward_time(net, index));
}

static void plan_tops(struct planner *p)
{
    struct net *net = p->net;
    struct layer_plan *lp = p->lp;
    for (int t = 0; t < lp->layer.n_tops; t++) {
        struct view *view = &lp->layer.tops[t];
        int v = lp->top_values[t];
        struct value *value = &net->values[v];
        default_request(&p->top_diffs[t], &view->shape, &p->tops[t]);
        default_request(&p->tops[t], &view->shape, NULL);
        view->desc = p->tops[t].desc;
        view->diff_desc = p->top_diffs[t].desc;
        view->n_floats = desc_n_elements(&view->desc);
        bool shares = lp->layer.ops->tops_are_bottom || lp->is_done_above;
        lp->top_buffers[t] =
            shares ? lp->bottom_buffers[0] : memory_add(net->memory, dnnl_memory_desc_get_size(&view->desc));
        plan_top_lifetime(net, lp, p->index, lp->top_buffers[t], v);
        if (value->root == v) {
            value->n_representations = 1;
            value->representations[0] = (struct representation){view->desc, lp->top_buffers[t]};
        }
        value->diff_wanted = view->diff_desc;
    }
}

static enum status plan_layer(struct net *net, int index, struct error *err)
{
    struct layer_plan *lp = &net->layers[index];
    struct layer *l = &lp->layer;
    size_t n_bottoms = (size_t)l->n_bottoms + 1, n_tops = (size_t)l->n_tops + 1;
    CLEANUP(freep) struct request *requests = xcalloc(2 * (n_bottoms + n_tops), sizeof(*requests));
    CLEANUP(freep) dnnl_memory_desc_t *lies = xcalloc(n_bottoms, sizeof(*lies));
    struct planner p = {
        .net = net,
        .index = index,
        .lp = lp,
        .bottoms = requests,
        .bottom_diffs = requests + n_bottoms,
        .tops = requests + 2 * n_bottoms,
        .top_diffs = requests + 2 * n_bottoms + n_tops,
        .lies = lies,
        .last_value = l->n_tops ? lp->top_values[0] : -1,
    };
    if (l->ops->any_representation || lp->is_done_above) {
        const dnnl_memory_desc_t *desc = plan_bottom_desc(&p, 0);
        plan_bottom(&p, 0, desc);
        plan_top(&p, 0, desc);
    }
    if (l->ops->plan && !lp->is_done_above)
        TRY(l->ops->plan(l, &p, err));
    lp->overwrites_bottom = may_lie_in_place(lp) && l->def->bottoms[0] == l->def->tops[0] &&
                            (lp->backward_needs & NEEDS_BOTTOM_DATA) && !l->ops->keeps_bottom;
    TRY(plan_bottoms(&p, err));
    plan_tops(&p);
    return OK;
}

/* ---- gradients ---- */

/*
 * Where the producer finds the gradient of a top: written by the consumer,
 * reordered, or constant (the loss weight, or 0 where nothing arrives).  A
 * split simply leaves out those that get none.
 */
static enum status plan_top_diff_buffer(struct net *net, int layer, int t, struct error *err)
{
    struct layer_plan *lp = &net->layers[layer];
    struct value *v = &net->values[lp->top_values[t]];
    int start = backward_read_time(net, layer);
    if (v->has_diff && same_desc(&v->diff_written, &v->diff_wanted)) {
        v->wanted_buffer = v->diff_buffer;
    } else if (v->has_diff) {
        v->wanted_buffer = memory_add(net->memory, dnnl_memory_desc_get_size(&v->diff_wanted));
        memory_use(net->memory, v->diff_buffer, start);
        TRY(add_reorder(net, &lp->before_backward, &v->diff_written, v->diff_buffer, &v->diff_wanted,
                        v->wanted_buffer, err));
    } else if (!is_split(lp) || loss_weight(net, v) != 0) {
        v->wanted_buffer = memory_add(net->memory, dnnl_memory_desc_get_size(&v->diff_wanted));
        memory_fix(net->memory, v->wanted_buffer);
    }
    if (v->wanted_buffer >= 0) {
        memory_use(net->memory, v->wanted_buffer, start);
        memory_use(net->memory, v->wanted_buffer, backward_time(net, layer));
    }
    lp->top_diff_buffers[t] = v->wanted_buffer;
    return OK;
}

static enum status plan_diffs(struct net *net, struct error *err)
{
    for (int i = net->n_layers - 1; i >= 0; i--) {
        struct layer_plan *lp = &net->layers[i];
        struct layer *l = &lp->layer;
        if (!lp->runs_backward)
            continue;
        for (int t = 0; t < l->n_tops; t++)
            TRY(plan_top_diff_buffer(net, i, t, err));
        for (int b = 0; b < l->n_bottoms; b++) {
            struct value *v = &net->values[lp->bottom_values[b]];
            if (!v->has_diff)
                continue;
            bool shares = (l->ops->tops_are_bottom && l->n_tops == 1) || lp->is_done_above;
            v->diff_buffer = shares ? lp->top_diff_buffers[0]
                                    : memory_add(net->memory, dnnl_memory_desc_get_size(&v->diff_written));
            memory_use(net->memory, v->diff_buffer, backward_time(net, i));
            lp->bottom_diff_buffers[b] = v->diff_buffer;
        }
    }
    return OK;
}

static void merge_in_place(struct net *net)
{
    for (int i = 0; i < net->n_layers; i++) {
        struct layer_plan *lp = &net->layers[i];
        if (may_lie_in_place(lp) && same_desc(&lp->layer.bottoms[0].desc, &lp->layer.tops[0].desc))
            memory_merge(net->memory, lp->bottom_buffers[0], lp->top_buffers[0], forward_time(i));
    }
    for (int i = net->n_layers - 1; i >= 0; i--) {
        struct layer_plan *lp = &net->layers[i];
        if ((may_lie_in_place(lp) || lp->layer.ops->gradient_in_place) && lp->bottom_diff_buffers[0] >= 0 &&
            lp->top_diff_buffers[0] >= 0 &&
            same_desc(&lp->layer.bottoms[0].diff_desc, &lp->layer.tops[0].diff_desc))
            memory_merge(net->memory, lp->top_diff_buffers[0], lp->bottom_diff_buffers[0],
                         backward_time(net, i));
    }
}

/* ---- chains in place ---- */

static bool reads_blob_of_top(const struct layer_plan *lp)
{
    const struct layer *l = &lp->layer;
    if (!lp->runs_backward || l->n_bottoms == 0 || l->n_tops == 0)
        return false;
    bool in_place = may_lie_in_place(lp) && l->def->bottoms[0] == l->def->tops[0] && !l->ops->keeps_bottom;
    return in_place ? lp->backward_needs != 0 : (lp->backward_needs & NEEDS_TOP_BLOB) != 0;
}

static enum status plan_last_top(struct net *net, int layer, struct error *err)
{
    struct layer_plan *lp = &net->layers[layer];
    int own = lp->top_values[0], last = net->blob_value[net->values[own].blob];
    const struct representation *r = &root_of(net, last)->representations[0];
    const dnnl_memory_desc_t *wanted = &lp->layer.tops[0].desc;
    int start = backward_read_time(net, layer);
    if (last == own)
        return OK;
    lp->last_top_buffer = r->buffer;
    memory_use(net->memory, r->buffer, start);
    if (!same_desc(&r->desc, wanted)) {
        lp->last_top_buffer = memory_add(net->memory, dnnl_memory_desc_get_size(wanted));
        memory_use(net->memory, lp->last_top_buffer, start);
        TRY(add_reorder(net, &lp->before_backward, &r->desc, r->buffer, wanted, lp->last_top_buffer, err));
    }
    memory_use(net->memory, lp->last_top_buffer, backward_time(net, layer));
    return OK;
}

static enum status plan_last_tops(struct net *net, struct error *err)
{
    for (int i = 0; i < net->n_layers; i++) {
        net->layers[i].last_top_buffer = -1;
        if (reads_blob_of_top(&net->layers[i]))
            TRY(plan_last_top(net, i, err));
    }
    return OK;
}

/* ---- pointers ---- */

static float *at(const struct net *net, int buffer)
{
    return buffer < 0 ? NULL : memory_at(net->memory, buffer);
}

static void point_reorders(struct net *net, struct reorder *list)
{
    for (struct reorder *r = list; r; r = r->next) {
        r->from_data = at(net, r->from);
        r->to_data = at(net, r->to);
    }
}

static void point_views(struct net *net)
{
    for (int i = 0; i < net->n_layers; i++) {
        struct layer_plan *lp = &net->layers[i];
        struct layer *l = &lp->layer;
        for (int b = 0; b < l->n_bottoms; b++) {
            l->bottoms[b].data = at(net, lp->bottom_buffers[b]);
            l->bottoms[b].diff = at(net, lp->bottom_diff_buffers[b]);
        }
        for (int t = 0; t < l->n_tops; t++) {
            l->tops[t].data = at(net, lp->top_buffers[t]);
            l->tops[t].diff = at(net, lp->top_diff_buffers[t]);
        }
        lp->last_top = at(net, lp->last_top_buffer);
        l->workspace = at(net, lp->workspace_buffer);
        l->scratch = net->scratch;
        point_reorders(net, lp->before_forward);
        point_reorders(net, lp->before_backward);
    }
}

/* A loss weight is the gradient of its top, written once. */
static enum status write_loss_weights(struct net *net, struct error *err)
{
    for (int v = 0; v < net->n_values; v++) {
        const struct value *value = &net->values[v];
        float weight = loss_weight(net, value);
        if (weight == 0 || value->has_diff || value->wanted_buffer < 0)
            continue;
        struct view *view = &net->layers[value->producer].layer.tops[value->top];
        int64_t n = shape_count(&view->shape);
        CLEANUP(freep) float *values = xcalloc((size_t)n + 1, sizeof(*values));
        for (int64_t i = 0; i < n; i++)
            values[i] = weight;
        dnnl_memory_desc_t plain;
        desc_plain(&view->shape, &plain);
        TRY(kernel_convert(&plain, values, &view->diff_desc, view->diff, err));
    }
    return OK;
}

static int *none(int n)
{
    int *list = xcalloc((size_t)n + 1, sizeof(int));
    for (int i = 0; i <= n; i++)
        list[i] = -1;
    return list;
}

static void prepare_layer(struct layer_plan *lp)
{
    lp->bottom_buffers = none(lp->layer.n_bottoms);
    lp->bottom_diff_buffers = none(lp->layer.n_bottoms);
    lp->top_buffers = none(lp->layer.n_tops);
    lp->top_diff_buffers = none(lp->layer.n_tops);
    lp->workspace_buffer = -1;
    lp->backward_needs = lp->is_done_above ? 0 : lp->layer.ops->backward_needs;
    lp->reads_bottoms_first = lp->layer.ops->reads_bottoms_first;
}

static enum status allocate_blobs(struct net *net, struct error *err)
{
    bool reuse = !net->options.keep_blobs;
    return net->whole ? memory_borrow(net->memory, reuse, tail_blobs(net->whole), err)
                      : memory_allocate(net->memory, reuse, err);
}

static enum status allocate_scratch(struct net *net, struct error *err)
{
    net->scratch = net->scratch_is_borrowed ? net->whole->scratch : memory_pages(net->scratch_bytes);
    if (net->scratch)
        return OK;
    return error_set(err, TOO_LARGE, "the net's kernels need %zu bytes of scratch memory",
                     net->scratch_bytes);
}

enum status net_renew_blobs(struct net *net, struct error *err)
{
    memory_clear_fixed(net->memory);
    return write_loss_weights(net, err);
}

enum status net_plan(struct net *net, struct error *err)
{
    make_values(net);
    net->memory = memory_create();
    for (int i = 0; i < net->n_layers; i++) {
        prepare_layer(&net->layers[i]);
        if (plan_layer(net, i, err) != OK)
            return error_context(err, "layer '%s'", net->def->layers[i].name);
    }
    if (net->kept_failed)
        return error_set(err, TOO_LARGE, "the net's kernels need %zu bytes of memory", net->kept_bytes);
    TRY(plan_diffs(net, err));
    TRY(plan_last_tops(net, err));
    if (!net->options.keep_blobs)
        merge_in_place(net);
    net->scratch_is_borrowed = net->whole && net->scratch_bytes <= net->whole->scratch_bytes;
    if (net->options.plan_only)
        return memory_lay_out(net->memory, !net->options.keep_blobs, err);
    TRY(allocate_blobs(net, err));
    TRY(allocate_scratch(net, err));
    point_views(net);
    return write_loss_weights(net, err);
}

static void reorders_free(struct reorder *list)
{
    while (list) {
        struct reorder *next = list->next;
        kernel_release(&list->kernel);
        free(list);
        list = next;
    }
}

void net_plan_release(struct net *net)
{
    for (int i = 0; i < net->n_layers; i++) {
        struct layer_plan *lp = &net->layers[i];
        reorders_free(lp->before_forward);
        reorders_free(lp->before_backward);
        free(lp->bottom_values);
        free(lp->top_values);
        free(lp->bottom_buffers);
        free(lp->bottom_diff_buffers);
        free(lp->top_buffers);
        free(lp->top_diff_buffers);
    }
    for (struct kept *k = net->kept; k;) {
        struct kept *next = k->next;
        memory_pages_free(k->pages, k->bytes);
        free(k);
        k = next;
    }
    if (!net->scratch_is_borrowed)
        memory_pages_free(net->scratch, net->scratch_bytes);
    memory_free(net->memory);
    free(net->values);
    free(net->blob_value);
}
