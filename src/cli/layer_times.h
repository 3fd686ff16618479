/*
 * layer_times.h - where a running net's time goes: the average of each layer,
 * and a trace for the viewers of Chrome and Perfetto.
 *
 * Both watch the net (net_set_watch) until they are freed; the net must
 * outlive them.  A reorder's time is that of the layer that it is for.
 */
#ifndef ET_LAYER_TIMES_H
#define ET_LAYER_TIMES_H

#include "base/json.h"
#include "engine/net.h"

/* ---- averages ---- */

struct layer_times;

struct layer_times *layer_times_new(struct net *net);
void layer_times_free(struct layer_times *t); /* NULL is fine */

/*
 * Microseconds a pass: [{"layer": "conv1", "type": "Convolution", "forward-us": 812.5, "backward-us":
 * 1630.1}], in the order of the net, without splits.  [] before the first pass.  New.
 */
json_t *layer_times_json(const struct layer_times *t);

/* ---- a trace ---- */

struct trace;

struct trace *trace_new(struct net *net);
void trace_free(struct trace *t);
void trace_freep(struct trace **t);

/* A span of the caller's around those of the layers; both ends by trace_now_ns. */
int64_t trace_now_ns(void);
void trace_span(struct trace *t, const char *name, int number, int64_t begin_ns, int64_t end_ns);

/*
 * Writes all spans as trace events (JSON).  Spans past the first two million
 * are left out, and *ret_n_left_out says how many.
 */
enum status trace_write(const struct trace *t, const char *path, int64_t *ret_n_left_out, struct error *err);

#endif
