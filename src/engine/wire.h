/*
 * wire.h - files of one large message of caffe.proto, part by part: neither
 * written nor read is the whole ever in memory.
 *
 *   wire_create -> wire_put, wire_put_head, wire_put_blob, wire_put_floats -> wire_finish
 *
 * A field that holds a message or packed floats is its head (number and
 * length) and then as many bytes; fields may follow each other in any order.
 */
#ifndef ET_WIRE_H
#define ET_WIRE_H

#include "base/buf.h"
#include "netdef/netdef.h"

struct wire_file;

/* A file under a temporary name.  Errors: NO_SPACE, NOT_FOUND, DENIED, FAILED. */
enum status wire_create(const char *path, struct wire_file **ret_file, struct error *err);
/* Makes all that was written durable and gives it its name.  Errors: NO_SPACE, FAILED. */
enum status wire_finish(struct wire_file *w, struct error *err);
/* Frees it; a file that is not finished is gone.  NULL is none. */
void wire_freep(struct wire_file **w);

/* The fields of a message. */
enum status wire_put(struct wire_file *w, const ProtobufCMessage *message, struct error *err);

/*
 * The head of a field of which `bytes` follow.  Errors: TOO_LARGE when the
 * file would have 2 GiB, which no reader of protobuf takes.
 */
enum status wire_put_head(struct wire_file *w, unsigned field, size_t bytes, struct error *err);
size_t wire_head_bytes(unsigned field, size_t bytes);

/*
 * A field that is a BlobProto of this shape: all but its numbers, of which
 * n_arrays (data, or data and diff) follow with wire_put_floats.
 */
enum status wire_put_blob(struct wire_file *w, unsigned field, const struct shape *shape, int n_arrays,
                          struct error *err);
/* Bytes of such a field, head and numbers included. */
size_t wire_blob_bytes(unsigned field, const struct shape *shape, int n_arrays);

enum { WIRE_BLOB_DATA = 5, WIRE_BLOB_DIFF = 6 };
enum status wire_put_floats(struct wire_file *w, unsigned field, const float *values, size_t n,
                            struct error *err);

/*
 * Reads a file: the content of each occurrence of `field` goes to `take`, in
 * order, and every other field, as it is, to `rest`.
 * Errors: NOT_FOUND; INVALID when the file is no message, or a pipe; TOO_LARGE; what take returns.
 */
enum status wire_read(const char *path, unsigned field,
                      enum status (*take)(void *context, const uint8_t *bytes, size_t size,
                                          struct error *err),
                      void *context, struct buf *rest, struct error *err);

#endif
