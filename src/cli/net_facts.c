#include "cli/net_facts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/source.h"

/* ---- shapes from outside ---- */

static bool read_dims(const char *text, struct shape *ret_shape)
{
    struct shape shape = {.n_axes = 0};
    int64_t count = 1;
    for (;;) {
        char *end;
        errno = 0;
        long dim = strtol(text, &end, 10);
        if (errno || end == text || dim < 1 || shape.n_axes == SHAPE_MAX_AXES)
            return false;
        if (__builtin_mul_overflow(count, dim, &count) || count > INT_MAX)
            return false;
        shape.dim[shape.n_axes++] = (int)dim;
        if (!*end)
            break;
        if (*end != ',')
            return false;
        text = end + 1;
    }
    *ret_shape = shape;
    return true;
}

enum status input_shapes_add(struct input_shapes *inputs, const char *text, struct error *err)
{
    const char *equals = strchr(text, '=');
    struct shape shape;
    if (!equals || equals == text || !read_dims(equals + 1, &shape))
        return error_set(err, INVALID, "input '%s' must be a blob and its shape, as in data=64,1,28,28",
                         text);
    inputs->each = xrealloc(inputs->each, ((size_t)inputs->n + 1) * sizeof(*inputs->each));
    inputs->each[inputs->n++] = (struct input_shape){
        .name = xasprintf("%.*s", (int)(equals - text), text),
        .shape = shape,
    };
    return OK;
}

void input_shapes_release(struct input_shapes *inputs)
{
    for (int i = 0; i < inputs->n; i++)
        free(inputs->each[i].name);
    free(inputs->each);
    *inputs = (struct input_shapes){0};
}

/* Puts what was said of the layer's tops into source; labels follow the first top.  false: nothing was. */
static bool use_inputs(struct input_shapes *inputs, const Caffe__LayerParameter *layer,
                       struct source_shape *source)
{
    bool found = false;
    for (size_t t = 0; t < layer->n_top && t < ARRAY_SIZE(source->tops); t++)
        for (int i = 0; i < inputs->n; i++)
            if (!strcmp(inputs->each[i].name, layer->top[t])) {
                source->tops[t] = inputs->each[i].shape;
                inputs->each[i].is_used = found = true;
            }
    struct shape *label = &source->tops[1];
    if (found && layer->n_top == 2 && shape_is_known(&source->tops[0]) && strcmp(layer->type, "Input"))
        if (!shape_is_known(label) || label->n_axes == 1)
            *label = (struct shape){.n_axes = 1, .dim = {source->tops[0].dim[0]}};
    return found;
}

/* An axis that cannot be leaves the shape unknown. */
static struct shape shape_of_proto(const Caffe__BlobShape *proto)
{
    struct shape shape = {.n_axes = proto->n_dim <= SHAPE_MAX_AXES ? (int)proto->n_dim : -1};
    for (int i = 0; i < shape.n_axes; i++) {
        if (proto->dim[i] < 0 || proto->dim[i] > INT_MAX)
            return (struct shape){.n_axes = -1};
        shape.dim[i] = (int)proto->dim[i];
    }
    return shape;
}

/* As the layer's own text says, which only an Input layer's does. */
static void own_shapes(const Caffe__LayerParameter *layer, struct source_shape *source)
{
    const Caffe__InputParameter *input = layer->input_param;
    size_t n_shapes = input ? input->n_shape : 0;
    *source = (struct source_shape){.layer = layer->name, .n_tops = (int)MIN(layer->n_top, 8u)};
    for (int t = 0; t < source->n_tops; t++)
        source->tops[t] = n_shapes ? shape_of_proto(input->shape[MIN((size_t)t, n_shapes - 1)])
                                   : (struct shape){.n_axes = -1};
}

/* The layers that stand for data of one phase, or for what a caller writes. */
static bool is_from_outside(const Caffe__LayerParameter *layer)
{
    static const char *const types[] = {"Input", "MemoryData", "WindowData"};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (layer->type && !strcmp(layer->type, types[i]))
            return true;
    return layer->type && source_ops_find(layer->type);
}

void sources_look(const Caffe__NetParameter *net, const struct netdef_options *state,
                  struct input_shapes *inputs, struct problems *warnings, struct source_shape **ret_sources,
                  int *ret_n)
{
    struct source_shape *sources = xcalloc(net->n_layer + 1, sizeof(*sources));
    CLEANUP(freep) int *kept = NULL;
    int n = 0, n_kept = 0;
    struct error err;
    if (netdef_data_layers(net, state, &kept, &n_kept, &err) != OK)
        n_kept = 0; /* netdef_create tells why */
    for (size_t i = 0; i < net->n_layer; i++) {
        const Caffe__LayerParameter *layer = net->layer[i];
        bool is_kept = layer->type && !strcmp(layer->type, "Input");
        for (int k = 0; k < n_kept; k++)
            is_kept = is_kept || kept[k] == (int)i;
        if (!is_kept || !is_from_outside(layer) || !layer->name)
            continue;
        struct source_shape *source = &sources[n];
        const struct source_options options = {.param = layer, .phase = state->phase, .threads = 1};
        own_shapes(layer, source);
        if (use_inputs(inputs, layer, source)) {
            n++;
        } else if (source_ops_find(layer->type)) {
            if (source_shapes(&options, source, &err) == OK)
                n++;
            else
                problems_note(warnings, error_context(&err, "layer '%s'", layer->name), &err);
        }
    }
    *ret_sources = sources;
    *ret_n = n;
}

/* ---- a layer's numbers ---- */

struct layer_facts layer_facts(const struct netdef *def, int layer)
{
    const struct layer_def *l = &def->layers[layer];
    struct layer_facts facts = {.operations = l->operations};
    for (int i = 0; i < l->n_params; i++) {
        const struct param_def *p = &def->params[l->params[i]];
        if (p->owner == l->params[i] && shape_is_known(&p->shape))
            facts.n_parameters += shape_count(&p->shape);
    }
    facts.parameter_bytes = 4 * facts.n_parameters;
    for (int t = 0; t < l->n_tops && facts.top_bytes >= 0; t++) {
        const struct blob_def *blob = &def->blobs[l->tops[t]];
        if (!shape_is_known(&blob->shape))
            facts.top_bytes = -1;
        else if (blob->producer == layer && strcmp(l->type->name, "Split"))
            facts.top_bytes += 4 * shape_count(&blob->shape);
    }
    return facts;
}

static const char *scaled_text(double n, double step, const char *const *units, size_t n_units, char *out)
{
    size_t unit = 0;
    while (n >= step && unit + 1 < n_units) {
        n /= step;
        unit++;
    }
    if (unit == 0)
        snprintf(out, NUMBER_TEXT_MAX, "%.0f%s%s", n, *units[0] ? " " : "", units[0]);
    else
        snprintf(out, NUMBER_TEXT_MAX, n < 10 ? "%.2f %s" : n < 100 ? "%.1f %s" : "%.0f %s", n, units[unit]);
    return out;
}

const char *count_text(int64_t n, char out[NUMBER_TEXT_MAX])
{
    static const char *const units[] = {"", "k", "M", "G", "T"};
    return scaled_text((double)n, 1000, units, ARRAY_SIZE(units), out);
}

const char *bytes_text(int64_t bytes, char out[NUMBER_TEXT_MAX])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    return scaled_text((double)bytes, 1024, units, ARRAY_SIZE(units), out);
}

const char *dims_text(const struct shape *shape, char out[SHAPE_TEXT_MAX])
{
    int at = snprintf(out, SHAPE_TEXT_MAX, "%s", shape->n_axes < 0 ? "?" : shape->n_axes ? "" : "scalar");
    for (int i = 0; i < shape->n_axes && at < SHAPE_TEXT_MAX; i++)
        at += snprintf(out + at, (size_t)(SHAPE_TEXT_MAX - at), "%s%d", i ? " x " : "", shape->dim[i]);
    return out;
}
