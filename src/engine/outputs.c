#include "engine/outputs.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/caffe_log.h"

static float loss_weight_of(const struct netdef *def, int blob)
{
    float weight = 0;
    for (int l = 0; l < def->n_layers; l++)
        for (int t = 0; t < def->layers[l].n_tops; t++)
            if (def->layers[l].tops[t] == blob)
                weight = def->layers[l].loss_weights[t];
    return weight;
}

void outputs_init(struct outputs *o, struct net *net)
{
    const struct netdef *def = net_def(net);
    *o = (struct outputs){.n = def->n_outputs};
    o->each = xcalloc((size_t)o->n + 1, sizeof(*o->each));
    for (int i = 0; i < o->n; i++) {
        int blob = def->outputs[i];
        o->each[i] = (struct output){
            .name = def->blobs[blob].name,
            .blob = blob,
            .n = (size_t)shape_count(&def->blobs[blob].shape),
            .n_max = (size_t)shape_count(&def->blobs[blob].shape),
            .loss_weight = loss_weight_of(def, blob),
        };
        o->n_values += o->each[i].n;
    }
    o->values = xcalloc(o->n_values + 1, sizeof(float));
}

void outputs_release(struct outputs *o)
{
    free(o->each);
    free(o->values);
    *o = (struct outputs){0};
}

void outputs_read(struct outputs *o, struct net *net)
{
    float *at = o->values;
    for (int i = 0; i < o->n; i++) {
        struct shape shape;
        net_blob_shape(net, o->each[i].blob, &shape);
        net_blob_read(net, o->each[i].blob, at);
        o->each[i].n = (size_t)shape_count(&shape);
        at += o->each[i].n;
    }
}

void outputs_clear(struct outputs *o)
{
    o->n_passes = 0;
}

static size_t n_elements(const struct outputs *o)
{
    size_t n = 0;
    for (int i = 0; i < o->n; i++)
        n += o->each[i].n;
    return n;
}

void outputs_add(struct outputs *o, struct net *net)
{
    if (o->n_passes++ == 0) {
        outputs_read(o, net);
        return;
    }
    size_t at = 0, end = n_elements(o);
    for (int i = 0; i < o->n; i++) {
        struct shape shape;
        CLEANUP(freep) float *values = xcalloc(o->each[i].n_max + 1, sizeof(float));
        net_blob_shape(net, o->each[i].blob, &shape);
        net_blob_read(net, o->each[i].blob, values);
        for (int64_t k = 0; k < shape_count(&shape) && at < end; k++)
            o->values[at++] += values[k];
    }
}

void outputs_divide(struct outputs *o, int by)
{
    for (size_t k = 0; k < o->n_values; k++)
        o->values[k] /= (float)by;
}

void outputs_log(const struct outputs *o, const char *place, const char *title)
{
    const float *at = o->values;
    int number = 0;
    for (int i = 0; i < o->n; i++)
        for (size_t k = 0; k < o->each[i].n; k++, at++, number++) {
            float weight = o->each[i].loss_weight;
            char before[64] = "", after[80] = "";
            if (title)
                snprintf(before, sizeof(before), "%s #%d: ", title, number);
            if (weight != 0)
                snprintf(after, sizeof(after), " (* " CAFFE_FLOAT " = " CAFFE_FLOAT " loss)", weight,
                         weight * *at);
            caffe_log('I', place, "%s%s = " CAFFE_FLOAT "%s", before, o->each[i].name, *at, after);
        }
}
