/*
 * A blob that is used n > 1 times gets a Split layer "BLOB_LAYER_IDX_split"
 * with tops "..._split_0" to n-1, one a user in order.  A loss weight counts
 * as a use, the first.  Source: Caffe's InsertSplits.
 */
#include <stdlib.h>
#include <string.h>

#include "netdef/message.h"
#include "netdef/names.h"
#include "netdef/nearest.h"
#include "netdef/wiring.h"

/* A top, by its number among all tops of the net. */
struct use {
    int n_uses, next_split;
    float loss_weight;
};

struct splitting {
    Caffe__NetParameter *net;
    struct names writers; /* blob -> the last top that wrote it */
    int *first_top;       /* a layer: the number of its first top */
    int *top_layer;       /* a top: its layer */
    struct use *uses;     /* a top */
    int *sources;         /* a bottom, by its number among all bottoms: the top that it reads; -1: none */
    struct problems *problems;
};

static void splitting_release(struct splitting *s)
{
    names_release(&s->writers);
    free(s->first_top);
    free(s->top_layer);
    free(s->uses);
    free(s->sources);
}

static void splitting_init(struct splitting *s, Caffe__NetParameter *net)
{
    size_t n_tops = 0, n_bottoms = 0;
    for (size_t i = 0; i < net->n_layer; i++) {
        n_tops += net->layer[i]->n_top;
        n_bottoms += net->layer[i]->n_bottom;
    }
    *s = (struct splitting){.net = net};
    s->first_top = xcalloc(net->n_layer + 1, sizeof(int));
    s->top_layer = xcalloc(n_tops + 1, sizeof(int));
    s->uses = xcalloc(n_tops + 1, sizeof(struct use));
    s->sources = xcalloc(n_bottoms + 1, sizeof(int));
    int top = 0;
    for (size_t i = 0; i < net->n_layer; i++) {
        s->first_top[i] = top;
        for (size_t j = 0; j < net->layer[i]->n_top; j++)
            s->top_layer[top++] = (int)i;
    }
}

static enum status unknown_bottom(const struct splitting *s, size_t layer, const char *blob,
                                  struct error *err)
{
    const Caffe__NetParameter *net = s->net;
    const char *name = text_or_empty(net->layer[layer]->name);
    struct nearest near;
    nearest_init(&near, blob);
    for (size_t i = 0; i < net->n_layer; i++) {
        for (size_t j = 0; j < net->layer[i]->n_top; j++) {
            if (i < layer)
                nearest_offer(&near, net->layer[i]->top[j]);
            else if (i > layer && strcmp(net->layer[i]->top[j], blob) == 0)
                return error_set(err, INVALID,
                                 "layer '%s': bottom '%s' is made by layer '%s', which comes later", name,
                                 blob, text_or_empty(net->layer[i]->name));
        }
    }
    char hint[NEAREST_TEXT_MAX];
    return error_set(err, INVALID, "layer '%s': unknown bottom '%s': no layer before it has that top%s", name,
                     blob, nearest_text(&near, hint));
}

static enum status count_uses(struct splitting *s, struct error *err)
{
    int bottom = 0;
    for (size_t i = 0; i < s->net->n_layer; i++) {
        const Caffe__LayerParameter *layer = s->net->layer[i];
        for (size_t j = 0; j < layer->n_bottom; j++) {
            int top = names_get(&s->writers, layer->bottom[j]);
            if (top < 0)
                TRY(problems_note(s->problems, unknown_bottom(s, i, layer->bottom[j], err), err));
            else
                s->uses[top].n_uses++;
            s->sources[bottom++] = top;
        }
        for (size_t j = 0; j < layer->n_top; j++)
            names_put(&s->writers, layer->top[j], s->first_top[i] + (int)j);
        for (size_t j = 0; j < layer->n_top && j < layer->n_loss_weight; j++) {
            struct use *use = &s->uses[names_get(&s->writers, layer->top[j])];
            use->loss_weight = layer->loss_weight[j];
            use->n_uses += use->loss_weight != 0;
        }
    }
    return OK;
}

static char *split_name(const struct splitting *s, int top, const char *blob)
{
    int layer = s->top_layer[top];
    return xasprintf("%s_%s_%d_split", blob, text_or_empty(s->net->layer[layer]->name),
                     top - s->first_top[layer]);
}

static Caffe__LayerParameter *make_split(const struct splitting *s, int top, const char *blob)
{
    const struct use *use = &s->uses[top];
    Caffe__LayerParameter *split = (Caffe__LayerParameter *)message_make(&caffe__layer_parameter__descriptor);
    split->name = split_name(s, top, blob);
    split->type = xstrdup("Split");
    list_add(&split->n_bottom, &split->bottom, xstrdup(blob));
    for (int i = 0; i < use->n_uses; i++)
        list_add(&split->n_top, &split->top, xasprintf("%s_%d", split->name, i));
    if (use->loss_weight != 0) {
        split->loss_weight = xcalloc((size_t)use->n_uses, sizeof(float));
        split->loss_weight[0] = use->loss_weight;
        split->n_loss_weight = (size_t)use->n_uses;
    }
    return split;
}

/* Appends the layer and its splits to the list, its bottoms renamed to the splits that they read. */
static void add_with_splits(struct splitting *s, size_t layer_index, int *bottom, size_t *n_list,
                            Caffe__LayerParameter ***list)
{
    Caffe__LayerParameter *layer = s->net->layer[layer_index];
    for (size_t j = 0; j < layer->n_bottom; j++) {
        int top = s->sources[(*bottom)++];
        if (top < 0 || s->uses[top].n_uses < 2)
            continue;
        CLEANUP(freep) char *name = split_name(s, top, layer->bottom[j]);
        free(layer->bottom[j]);
        layer->bottom[j] = xasprintf("%s_%d", name, s->uses[top].next_split++);
    }
    list_add(n_list, list, layer);
    for (size_t j = 0; j < layer->n_top; j++) {
        struct use *use = &s->uses[s->first_top[layer_index] + (int)j];
        if (use->n_uses < 2)
            continue;
        list_add(n_list, list, make_split(s, s->first_top[layer_index] + (int)j, layer->top[j]));
        if (use->loss_weight != 0) {
            layer->n_loss_weight = 0;
            use->next_split++;
        }
    }
}

enum status layers_split(Caffe__NetParameter *net, struct problems *problems, struct error *err)
{
    CLEANUP(splitting_release) struct splitting s;
    splitting_init(&s, net);
    s.problems = problems;
    TRY(count_uses(&s, err));
    size_t n_list = 0;
    int bottom = 0;
    Caffe__LayerParameter **list = NULL;
    for (size_t i = 0; i < net->n_layer; i++)
        add_with_splits(&s, i, &bottom, &n_list, &list);
    free(net->layer);
    net->layer = list;
    net->n_layer = n_list;
    return OK;
}
