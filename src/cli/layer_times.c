#include "cli/layer_times.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"

/* ---- averages ---- */

struct layer_time {
    int64_t forward_ns, backward_ns;
    int64_t n_forward; /* runs: as many as passes, of a layer that is run by itself */
};

struct layer_times {
    struct net *net;
    struct layer_time *layers;
};

static void add_step(void *context, enum net_step step, int layer, int64_t begin_ns, int64_t end_ns)
{
    struct layer_time *l = &((struct layer_times *)context)->layers[layer];
    bool is_forward = step == NET_FORWARD || step == NET_REORDER_FORWARD;
    *(is_forward ? &l->forward_ns : &l->backward_ns) += end_ns - begin_ns;
    l->n_forward += step == NET_FORWARD;
}

struct layer_times *layer_times_new(struct net *net)
{
    struct layer_times *t = xcalloc(1, sizeof(*t));
    t->net = net;
    t->layers = xcalloc((size_t)net_def(net)->n_layers + 1, sizeof(*t->layers));
    net_set_watch(net, (struct net_watch){add_step, t});
    return t;
}

void layer_times_free(struct layer_times *t)
{
    if (!t)
        return;
    net_set_watch(t->net, (struct net_watch){NULL, NULL});
    free(t->layers);
    free(t);
}

json_t *layer_times_json(const struct layer_times *t)
{
    const struct netdef *def = net_def(t->net);
    json_t *all = json_array();
    int64_t n_passes = 0;
    for (int i = 0; i < def->n_layers; i++)
        n_passes = MAX(n_passes, t->layers[i].n_forward);
    for (int i = 0; i < def->n_layers && n_passes; i++) {
        const struct layer_def *layer = &def->layers[i];
        double us = 1e3 * (double)n_passes;
        if (strcmp(layer->type->name, "Split") != 0)
            json_array_append_new(all, json_pack("{s:s, s:s, s:f, s:f}", "layer", layer->name, "type",
                                                 layer->type->name, "forward-us",
                                                 (double)t->layers[i].forward_ns / us, "backward-us",
                                                 (double)t->layers[i].backward_ns / us));
    }
    return all;
}

/* ---- a trace ---- */

enum { SPANS_MAX = 2000000, OWN_SPAN = -1 };

struct span {
    int64_t begin_ns, end_ns;
    const char *name; /* of one that is the caller's */
    int number;
    int layer; /* OWN_SPAN */
    enum net_step step;
};

struct trace {
    struct net *net;
    size_t n, allocated;
    struct span *spans;
    int64_t n_left_out;
};

static void add_span(struct trace *t, const struct span *span)
{
    if (t->n == SPANS_MAX) {
        t->n_left_out++;
        return;
    }
    if (t->n == t->allocated) {
        t->allocated = 2 * t->allocated + 1024;
        t->spans = xrealloc(t->spans, t->allocated * sizeof(*t->spans));
    }
    t->spans[t->n++] = *span;
}

static void trace_step(void *context, enum net_step step, int layer, int64_t begin_ns, int64_t end_ns)
{
    const struct span span = {.begin_ns = begin_ns, .end_ns = end_ns, .layer = layer, .step = step};
    add_span(context, &span);
}

struct trace *trace_new(struct net *net)
{
    struct trace *t = xcalloc(1, sizeof(*t));
    t->net = net;
    net_set_watch(net, (struct net_watch){trace_step, t});
    return t;
}

void trace_free(struct trace *t)
{
    if (!t)
        return;
    net_set_watch(t->net, (struct net_watch){NULL, NULL});
    free(t->spans);
    free(t);
}

void trace_freep(struct trace **t)
{
    trace_free(*t);
    *t = NULL;
}

int64_t trace_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void trace_span(struct trace *t, const char *name, int number, int64_t begin_ns, int64_t end_ns)
{
    const struct span span = {
        .begin_ns = begin_ns, .end_ns = end_ns, .name = name, .number = number, .layer = OWN_SPAN};
    add_span(t, &span);
}

static json_t *event_of(const struct trace *t, const struct span *span, int64_t start_ns)
{
    static const char *const categories[] = {"forward", "backward", "reorder", "reorder"};
    const struct netdef *def = net_def(t->net);
    const char *category = span->layer == OWN_SPAN ? "pass" : categories[span->step];
    CLEANUP(freep) char *name = NULL;
    json_t *args = json_object();
    if (span->layer == OWN_SPAN) {
        name = xasprintf("%s %d", span->name, span->number);
    } else {
        const struct layer_def *layer = &def->layers[span->layer];
        bool is_reorder = span->step == NET_REORDER_FORWARD || span->step == NET_REORDER_BACKWARD;
        name = xasprintf("%s%s", is_reorder ? "reorder for " : "", layer->name);
        json_object_set_new(args, "type", json_string(layer->type->name));
        json_object_set_new(args, "pass",
                            json_string(span->step == NET_FORWARD || span->step == NET_REORDER_FORWARD
                                            ? "forward"
                                            : "backward"));
    }
    return json_pack("{s:s, s:s, s:s, s:f, s:f, s:i, s:i, s:o}", "name", name, "cat", category, "ph", "X",
                     "ts", (double)(span->begin_ns - start_ns) / 1e3, "dur",
                     (double)(span->end_ns - span->begin_ns) / 1e3, "pid", 1, "tid", 1, "args", args);
}

enum status trace_write(const struct trace *t, const char *path, int64_t *ret_n_left_out, struct error *err)
{
    CLEANUP(file_closep) FILE *file = fopen(path, "wbe");
    if (!file)
        return error_set(err, status_from_errno(errno), "cannot create '%s': %s", path, strerror(errno));
    int64_t start_ns = INT64_MAX;
    for (size_t i = 0; i < t->n; i++)
        start_ns = MIN(start_ns, t->spans[i].begin_ns);
    fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[", file);
    for (size_t i = 0; i < t->n; i++) {
        CLEANUP(json_decrefp) json_t *event = event_of(t, &t->spans[i], start_ns);
        CLEANUP(freep) char *text = json_text(event);
        fprintf(file, "%s\n%s", i ? "," : "", text);
    }
    fputs("\n]}\n", file);
    if (fflush(file) || ferror(file))
        return error_set(err, status_from_errno(errno), "cannot write '%s': %s", path, strerror(errno));
    *ret_n_left_out = t->n_left_out;
    return OK;
}
