/*
 * memory_feed.h - images of a list into a net's MemoryData layer, batch after
 * batch, as a program would hand them to Caffe: each is read with as many
 * channels as the layer has, made as large as it wants (but where the layer
 * crops), and goes through its transform_param.  The list starts again at its
 * end.
 */
#ifndef ET_MEMORY_FEED_H
#define ET_MEMORY_FEED_H

#include "engine/net.h"

struct memory_feed;

/*
 * net is lent, and made with feeds_memory; its first MemoryData layer is fed.  list: a file of "path label"
 * lines.  Errors: NOT_FOUND for the list; INVALID when it is none, or the net has no such layer.
 */
enum status memory_feed_new(struct net *net, const char *list, struct memory_feed **ret_feed,
                            struct error *err);
/* Writes the next batch.  Errors: NOT_FOUND, INVALID for an image that cannot be read or does not fit. */
enum status memory_feed_next(struct memory_feed *f, struct error *err);
void memory_feed_freep(struct memory_feed **f);

#endif
