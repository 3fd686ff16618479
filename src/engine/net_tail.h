/*
 * net_tail.h - the layers behind a Filter, on as many items as it passes.
 *
 * A plan is made for one batch.  The net's own plan holds when the first
 * Filter passes all items.  For any other number the layers that depend on it
 * (and later Filters with theirs) are a net of their own: the tail, planned
 * for that number, with the same parameters and random generators.  The last
 * few are kept; as one runs at a time, their blobs lie in the same memory,
 * which is as large as the largest needs.  When it is such a layer's turn, what it reads from the layers
 * before is copied to the tail, and the tail's layer runs in its place;
 * backward copies gradients the other way.  A tail with a Filter has tails
 * itself.
 *
 * When nothing passes, the layers behind do not run: their blobs and
 * gradients are 0 (Caffe divides by zero there).
 */
#ifndef ET_NET_TAIL_H
#define ET_NET_TAIL_H

#include "engine/net_internal.h"

struct tail;

/* net->tail, unless the net has no Filter.  The layers exist and are planned. */
enum status tail_create(struct net *net, struct error *err);
void tail_free(struct tail *t);

/* Where the blobs of every tail lie; there once one is made. */
const struct memory *tail_blobs(const struct net *net);

/* To be called when the layer has run: a Filter decides on the tail. */
enum status tail_choose(struct net *net, int layer, struct error *err);

/* Is it the tail's affair, in this pass. */
bool tail_has_layer(const struct net *net, int layer);
/* Such a layer: */
enum status tail_forward_layer(struct net *net, int layer, struct error *err);
void tail_backward_layer(struct net *net, int layer);
double tail_layer_loss(const struct net *net, int layer);
const struct layer *tail_layer(const struct net *net, int layer); /* NULL: it does not run */

/* Blobs as they are now, where that is not as planned; otherwise these do nothing and return false. */
bool tail_blob_shape(const struct net *net, int blob, struct shape *ret_shape);
bool tail_blob_read(struct net *net, int blob, float *ret_plain);
bool tail_blob_diff_read(struct net *net, int blob, float *ret_plain, bool *ret_has_diff);

void tail_add_memory(const struct tail *t, struct net_memory *sum);

#endif
