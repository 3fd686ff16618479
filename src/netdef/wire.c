#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "netdef/message.h"
#include "netdef/names.h"
#include "netdef/shapes.h"
#include "netdef/wiring.h"

/* What grows while the layers are wired one after the other. */
struct wire {
    struct wiring *w;
    struct names blobs;
    int n_blobs;
    bool *available; /* a blob: written and not read since */
    struct param_def *params;
    size_t n_params, allocated_params;
};

static void wire_release(struct wire *b)
{
    names_release(&b->blobs);
    free(b->available);
    free(b->params);
}

/* A mistake in a layer: noted, when the caller wants all of them. */
static enum status noted(struct wire *b, const struct layer_def *layer, enum status status)
{
    if (status == OK || !b->w->options->problems)
        return status;
    return problems_note(b->w->options->problems, error_context(b->w->err, "layer '%s'", layer->name),
                         b->w->err);
}

static const struct source_shape *find_source(const struct netdef_options *options, const char *layer)
{
    for (int i = 0; i < options->n_sources; i++) {
        if (strcmp(options->sources[i].layer, layer) == 0)
            return &options->sources[i];
    }
    return NULL;
}

static enum status check_count(struct error *err, const char *type, const char *what, int n, int min, int max)
{
    if (n >= min && (max < 0 || n <= max))
        return OK;
    if (min == max)
        return error_set(err, INVALID, "type %s takes %d %s%s, not %d", type, min, what, min == 1 ? "" : "s",
                         n);
    if (max < 0)
        return error_set(err, INVALID, "type %s takes at least %d %s%s, not %d", type, min, what,
                         min == 1 ? "" : "s", n);
    return error_set(err, INVALID, "type %s takes %d to %d %ss, not %d", type, min, max, what, n);
}

static enum status check_counts(struct error *err, const struct layer_row *row,
                                const Caffe__LayerParameter *param)
{
    int n_bottoms = (int)param->n_bottom, n_tops = (int)param->n_top;
    int min_tops = row->type.is_loss ? 0 : row->type.min_tops;
    TRY(check_count(err, row->type.name, "bottom", n_bottoms, row->type.min_bottoms, row->type.max_bottoms));
    TRY(check_count(err, row->type.name, "top", n_tops, min_tops, row->type.max_tops));
    if (row->equal_counts && n_tops != n_bottoms)
        return error_set(err, INVALID, "type %s makes one top for each of its %d bottoms, not %d",
                         row->type.name, n_bottoms, n_tops);
    if (row->one_top_less && n_tops != n_bottoms - 1)
        return error_set(err, INVALID,
                         "type %s makes one top for each of its %d bottoms but the last, not %d",
                         row->type.name, n_bottoms, n_tops);
    if (param->n_propagate_down && param->n_propagate_down != param->n_bottom)
        return error_set(
            err, INVALID,
            "propagate_down must be given never, or once for each of the %d bottoms, not %zu times",
            n_bottoms, param->n_propagate_down);
    return OK;
}

static int new_blob(struct wire *b, const char *name, int layer)
{
    b->w->blobs[b->n_blobs] = (struct blob_def){.name = name, .shape = {.n_axes = -1}, .producer = layer};
    return b->n_blobs++;
}

static enum status wire_bottoms(struct wire *b, struct layer_def *layer, int index, bool *propagate_down)
{
    const Caffe__LayerParameter *param = layer->param;
    int *bottoms = arena_alloc(b->w->arena, param->n_bottom, sizeof(int));
    for (size_t j = 0; j < param->n_bottom; j++) {
        int blob = names_get(&b->blobs, param->bottom[j]);
        if (blob < 0 || !b->available[blob]) {
            const struct problems *problems = b->w->options->problems;
            if (!problems || !problems->n)
                return error_set(b->w->err, INVALID, "unknown bottom '%s'", param->bottom[j]);
            blob = new_blob(b, param->bottom[j], index); /* layers_split has noted it */
        }
        b->available[blob] = false;
        bottoms[j] = blob;
        propagate_down[j] =
            param->n_propagate_down == param->n_bottom ? param->propagate_down[j] : b->w->blob_learns[blob];
        layer->needs_backward = layer->needs_backward || b->w->blob_learns[blob];
    }
    layer->bottoms = bottoms;
    layer->n_bottoms = (int)param->n_bottom;
    return OK;
}

static enum status cannot_work_in_place(struct wire *b, const struct layer_row *row, const char *name)
{
    return error_set(b->w->err, INVALID,
                     "type %s cannot work in place: give its top another name than its bottom '%s'",
                     row->type.name, name);
}

static enum status top_is_made_already(struct wire *b, const char *name, int blob)
{
    return error_set(b->w->err, INVALID, "top '%s' is made by layer '%s' already", name,
                     b->w->layers[b->w->blobs[blob].producer].name);
}

static enum status wire_tops(struct wire *b, struct layer_def *layer, const struct layer_row *row, int index)
{
    const Caffe__LayerParameter *param = layer->param;
    bool automatic = row->type.is_loss && !param->n_top;
    layer->n_tops = automatic ? 1 : (int)param->n_top;
    int *tops = arena_alloc(b->w->arena, (size_t)layer->n_tops, sizeof(int));
    for (size_t j = 0; j < param->n_top; j++) {
        const char *name = param->top[j];
        int blob = names_get(&b->blobs, name);
        if (j < param->n_bottom && strcmp(name, param->bottom[j]) == 0) {
            if (!row->in_place)
                TRY(noted(b, layer, cannot_work_in_place(b, row, name)));
            blob = layer->bottoms[j];
        } else {
            if (blob >= 0)
                TRY(noted(b, layer, top_is_made_already(b, name, blob)));
            blob = new_blob(b, name, index);
            names_put(&b->blobs, name, blob);
        }
        tops[j] = blob;
        b->available[blob] = true;
    }
    if (automatic)
        tops[0] = new_blob(b, "(automatic)", index);
    layer->tops = tops;
    return OK;
}

/* A loss without weights has 1 for its first top; the weights are then part of its parameter. */
static enum status wire_loss_weights(struct wire *b, struct layer_def *layer, Caffe__LayerParameter *param,
                                     const struct layer_row *row)
{
    if (!param->n_loss_weight && row->type.is_loss) {
        free(param->loss_weight);
        param->loss_weight = xcalloc((size_t)layer->n_tops, sizeof(float));
        param->loss_weight[0] = 1;
        param->n_loss_weight = (size_t)layer->n_tops;
    }
    if (param->n_loss_weight && param->n_loss_weight != (size_t)layer->n_tops)
        TRY(noted(b, layer,
                  error_set(b->w->err, INVALID,
                            "loss_weight must be given never, or once for each of the %d tops, not %zu times",
                            layer->n_tops, param->n_loss_weight)));
    layer->loss_weights =
        param->n_loss_weight == (size_t)layer->n_tops
            ? arena_dup(b->w->arena, param->loss_weight, param->n_loss_weight, sizeof(float))
            : arena_alloc(b->w->arena, (size_t)layer->n_tops, sizeof(float));
    return OK;
}

static enum status check_size(struct wire *b, const char *what, const char *name, const struct shape *shape)
{
    char text[SHAPE_TEXT_MAX];
    if (shape_is_known(shape) && shape_count(shape) > INT_MAX)
        return error_set(b->w->err, TOO_LARGE, "%s '%s' of shape %s has more than 2147483647 elements", what,
                         name, shape_text(shape, text));
    return OK;
}

/* Statistics of BatchNorm are never learned: its params get lr_mult 0, and may say nothing else. */
static enum status fix_batch_norm(struct wire *b, Caffe__LayerParameter *param, int n_params)
{
    size_t n = param->n_param;
    for (size_t i = 0; i < n && i < (size_t)n_params; i++) {
        if (param->param[i]->lr_mult != 0)
            return error_set(
                b->w->err, INVALID,
                "the statistics of BatchNorm are not learned: set lr_mult of all its params to 0");
    }
    if (n >= (size_t)n_params)
        return OK;
    param->param = xrealloc(param->param, (size_t)n_params * sizeof(*param->param));
    for (; n < (size_t)n_params; n++) {
        Caffe__ParamSpec *spec = (Caffe__ParamSpec *)message_make(&caffe__param_spec__descriptor);
        spec->has_lr_mult = true;
        spec->lr_mult = 0;
        param->param[n] = spec;
    }
    param->n_param = n;
    return OK;
}

static enum status wire_params(struct wire *b, struct layer_def *layer, Caffe__LayerParameter *param,
                               const struct shaping *s, bool inferred, int index)
{
    if (param->n_param > (size_t)s->n_params && inferred)
        TRY(noted(b, layer,
                  error_set(b->w->err, INVALID, "%zu param fields, but type %s has %d parameter%s",
                            param->n_param, layer->type->name, s->n_params, s->n_params == 1 ? "" : "s")));
    /* Caffe asks before it fixes BatchNorm: without params of its own, BatchNorm needs backward. */
    CLEANUP(freep) bool *asks = xcalloc((size_t)s->n_params + 1, sizeof(*asks));
    for (size_t i = 0; i < (size_t)s->n_params; i++) {
        asks[i] = i >= param->n_param || param->param[i]->lr_mult != 0;
        layer->needs_backward = layer->needs_backward || asks[i];
    }
    if (strcmp(layer->type->name, "BatchNorm") == 0)
        TRY(noted(b, layer, fix_batch_norm(b, param, s->n_params)));
    int *params = arena_alloc(b->w->arena, (size_t)s->n_params, sizeof(int));
    for (int i = 0; i < s->n_params; i++) {
        enum status size = check_size(b, "param of layer", layer->name, &s->params[i].shape);
        TRY(noted(b, layer, size));
        if (b->n_params == b->allocated_params) {
            b->allocated_params = 2 * b->allocated_params + 64;
            b->params = xrealloc(b->params, b->allocated_params * sizeof(*b->params));
        }
        b->params[b->n_params] = (struct param_def){.layer = index,
                                                    .index = i,
                                                    .shape = size == OK ? s->params[i].shape : shape_unknown,
                                                    .propagate_down = asks[i] || b->w->def->force_backward,
                                                    .filler = s->params[i].filler};
        params[i] = (int)b->n_params++;
    }
    layer->params = params;
    layer->n_params = s->n_params;
    return OK;
}

/* ret_inferred: whether s knows all of the layer's parameters. */
static enum status infer_shapes(struct wire *b, struct layer_def *layer, const struct layer_row *row,
                                struct shaping *s, bool *ret_inferred)
{
    const struct shape **bottoms = xcalloc((size_t)layer->n_bottoms + 1, sizeof(*bottoms));
    CLEANUP(freep) const struct shape **bottoms_owner = bottoms;
    CLEANUP(freep) struct shape *tops = xcalloc((size_t)layer->n_tops + 1, sizeof(*tops));
    for (int i = 0; i < layer->n_bottoms; i++)
        bottoms[i] = &b->w->blobs[layer->bottoms[i]].shape;
    for (int i = 0; i < layer->n_tops; i++)
        tops[i].n_axes = -1;
    *s = (struct shaping){
        .param = layer->param,
        .phase = layer->phase,
        .source = find_source(b->w->options, layer->name),
        .n_bottoms = layer->n_bottoms,
        .bottoms = bottoms,
        .n_tops = layer->n_tops,
        .tops = tops,
        .err = b->w->err,
    };
    enum status status = row->shape(s);
    TRY(noted(b, layer, status));
    *ret_inferred = status == OK;
    for (int i = 0; status == OK && i < layer->n_tops; i++) {
        struct blob_def *blob = &b->w->blobs[layer->tops[i]];
        enum status size = check_size(b, "top", blob->name, &tops[i]);
        TRY(noted(b, layer, size));
        blob->shape = size == OK ? tops[i] : shape_unknown;
    }
    layer->operations = status == OK ? s->operations : 0;
    return OK;
}

static enum status wire_layer(struct wire *b, int index)
{
    struct layer_def *layer = &b->w->layers[index];
    Caffe__LayerParameter *param = b->w->param->layer[index];
    const struct layer_row *row = &layer_row_unknown;
    struct shaping s;
    bool inferred;
    if (!param->has_phase) {
        param->has_phase = true;
        param->phase = b->w->options->phase;
    }
    layer->phase = param->phase;
    TRY(noted(b, layer, layer_row_find(text_or_empty(param->type), &row, b->w->err)));
    layer->type = &row->type;
    enum status counts = check_counts(b->w->err, row, param);
    TRY(noted(b, layer, counts));
    if (counts != OK)
        row = &layer_row_unknown;
    b->w->propagate_down[index] = arena_alloc(b->w->arena, param->n_bottom, sizeof(bool));
    layer->propagate_down = b->w->propagate_down[index];
    TRY(wire_bottoms(b, layer, index, b->w->propagate_down[index]));
    TRY(wire_tops(b, layer, row, index));
    TRY(wire_loss_weights(b, layer, param, row));
    TRY(infer_shapes(b, layer, row, &s, &inferred));
    TRY(wire_params(b, layer, param, &s, inferred && counts == OK, index));
    for (int i = 0; layer->needs_backward && i < layer->n_tops; i++)
        b->w->blob_learns[layer->tops[i]] = true;
    return OK;
}

static int compare_names(const void *a, const void *b, void *blobs)
{
    return strcmp(((const struct blob_def *)blobs)[*(const int *)a].name,
                  ((const struct blob_def *)blobs)[*(const int *)b].name);
}

static void collect_outputs(struct wire *b)
{
    struct netdef *def = b->w->def;
    int *outputs = arena_alloc(b->w->arena, (size_t)b->n_blobs, sizeof(int));
    for (int i = 0; i < b->n_blobs; i++) {
        if (b->available[i])
            outputs[def->n_outputs++] = i;
    }
    qsort_r(outputs, (size_t)def->n_outputs, sizeof(int), compare_names, b->w->blobs);
    def->outputs = outputs;
}

static void count_memory(struct wiring *w)
{
    struct netdef *def = w->def;
    for (int i = 0; i < def->n_params; i++) {
        if (w->params[i].owner == i && shape_is_known(&w->params[i].shape))
            def->parameter_bytes += 4 * shape_count(&w->params[i].shape);
    }
    for (int i = 0; i < def->n_blobs; i++) {
        if (shape_is_known(&w->blobs[i].shape) &&
            strcmp(w->layers[w->blobs[i].producer].type->name, "Split") != 0)
            def->activation_bytes += 4 * shape_count(&w->blobs[i].shape);
    }
}

enum status layers_wire(struct wiring *w)
{
    size_t n_layers = w->param->n_layer, n_blobs = n_layers;
    for (size_t i = 0; i < n_layers; i++)
        n_blobs += w->param->layer[i]->n_top + w->param->layer[i]->n_bottom;
    CLEANUP(wire_release) struct wire b = {.w = w, .available = xcalloc(n_blobs + 1, sizeof(bool))};
    w->layers = arena_alloc(w->arena, n_layers, sizeof(*w->layers));
    w->propagate_down = arena_alloc(w->arena, n_layers, sizeof(*w->propagate_down));
    w->blobs = arena_alloc(w->arena, n_blobs, sizeof(*w->blobs));
    w->blob_learns = arena_alloc(w->arena, n_blobs, sizeof(bool));
    for (size_t i = 0; i < n_layers; i++) {
        w->layers[i].param = w->param->layer[i];
        w->layers[i].name = text_or_empty(w->param->layer[i]->name);
        if (wire_layer(&b, (int)i) != OK)
            return error_context(w->err, "layer '%s'", w->layers[i].name);
    }
    w->params = arena_dup(w->arena, b.params, b.n_params, sizeof(*b.params));
    w->def->n_layers = (int)n_layers;
    w->def->n_blobs = b.n_blobs;
    w->def->n_params = (int)b.n_params;
    TRY(params_share(w));
    collect_outputs(&b);
    count_memory(w);
    return OK;
}
