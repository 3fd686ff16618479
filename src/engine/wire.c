#include "engine/wire.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats lie in files as they lie in memory");

enum { VARINT = 0, FIXED64 = 1, LENGTH_DELIMITED = 2, FIXED32 = 5 };
enum { VARINT_MAX = 10 };

/* ---- writing ---- */

struct wire_file {
    FILE *file;
    char *path, *temporary;
    size_t size;
};

static enum status write_error(const struct wire_file *w, struct error *err)
{
    int number = errno;
    return error_set(err, status_from_errno(number), "cannot write '%s': %s", w->path, strerror(number));
}

enum status wire_create(const char *path, struct wire_file **ret_file, struct error *err)
{
    char suffix[17];
    random_hex(8, suffix);
    CLEANUP(freep) char *temporary = xasprintf("%s.%s", path, suffix);
    FILE *file = fopen(temporary, "wbxe");
    if (!file)
        return error_set(err, status_from_errno(errno), "cannot create '%s': %s", path, strerror(errno));
    struct wire_file *w = xcalloc(1, sizeof(*w));
    *w = (struct wire_file){.file = file, .path = xstrdup(path), .temporary = TAKE(temporary)};
    *ret_file = w;
    return OK;
}

enum status wire_finish(struct wire_file *w, struct error *err)
{
    if (fflush(w->file) || fsync(fileno(w->file)) || rename(w->temporary, w->path))
        return write_error(w, err);
    freep(&w->temporary);
    w->temporary = NULL;
    return OK;
}

void wire_freep(struct wire_file **w)
{
    if (!*w)
        return;
    fclose((*w)->file);
    if ((*w)->temporary)
        unlink((*w)->temporary);
    free((*w)->temporary);
    free((*w)->path);
    free(*w);
    *w = NULL;
}

static enum status put_bytes(struct wire_file *w, const void *bytes, size_t size, struct error *err)
{
    w->size += size;
    return fwrite(bytes, 1, size, w->file) == size ? OK : write_error(w, err);
}

enum status wire_put(struct wire_file *w, const ProtobufCMessage *message, struct error *err)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    CLEANUP(freep) uint8_t *bytes = xmalloc(size + 1);
    protobuf_c_message_pack(message, bytes);
    return put_bytes(w, bytes, size, err);
}

static size_t varint_write(uint64_t number, uint8_t *out)
{
    size_t n = 0;
    for (; number >= 0x80; number >>= 7)
        out[n++] = (uint8_t)(number | 0x80);
    out[n++] = (uint8_t)number;
    return n;
}

static size_t head_write(unsigned field, size_t bytes, uint8_t out[2 * VARINT_MAX])
{
    size_t n = varint_write((uint64_t)field << 3 | LENGTH_DELIMITED, out);
    return n + varint_write(bytes, out + n);
}

enum status wire_put_head(struct wire_file *w, unsigned field, size_t bytes, struct error *err)
{
    uint8_t head[2 * VARINT_MAX];
    if (bytes > INT_MAX - MIN(w->size, (size_t)INT_MAX))
        return error_set(err, TOO_LARGE, "'%s' would be over 2 GiB; use snapshot_format: HDF5", w->path);
    size_t n = head_write(field, bytes, head);
    return put_bytes(w, head, n, err);
}

size_t wire_head_bytes(unsigned field, size_t bytes)
{
    uint8_t head[2 * VARINT_MAX];
    return head_write(field, bytes, head);
}

/* A BlobProto without numbers; not to be copied. */
struct blob_shape {
    Caffe__BlobProto blob;
    Caffe__BlobShape shape;
    int64_t dims[SHAPE_MAX_AXES];
};

static void blob_shape_fill(struct blob_shape *b, const struct shape *shape)
{
    caffe__blob_proto__init(&b->blob);
    caffe__blob_shape__init(&b->shape);
    for (int i = 0; i < shape->n_axes; i++)
        b->dims[i] = shape->dim[i];
    b->shape.n_dim = (size_t)shape->n_axes;
    b->shape.dim = b->dims;
    b->blob.shape = &b->shape;
}

static size_t blob_content_bytes(const struct blob_shape *b, const struct shape *shape, int n_arrays)
{
    size_t bytes = (size_t)shape_count(shape) * sizeof(float);
    size_t each = bytes ? wire_head_bytes(WIRE_BLOB_DATA, bytes) + bytes : 0;
    return caffe__blob_proto__get_packed_size(&b->blob) + (size_t)n_arrays * each;
}

size_t wire_blob_bytes(unsigned field, const struct shape *shape, int n_arrays)
{
    struct blob_shape b;
    blob_shape_fill(&b, shape);
    size_t content = blob_content_bytes(&b, shape, n_arrays);
    return wire_head_bytes(field, content) + content;
}

enum status wire_put_blob(struct wire_file *w, unsigned field, const struct shape *shape, int n_arrays,
                          struct error *err)
{
    struct blob_shape b;
    blob_shape_fill(&b, shape);
    TRY(wire_put_head(w, field, blob_content_bytes(&b, shape, n_arrays), err));
    return wire_put(w, &b.blob.base, err);
}

enum status wire_put_floats(struct wire_file *w, unsigned field, const float *values, size_t n,
                            struct error *err)
{
    if (!n)
        return OK;
    TRY(wire_put_head(w, field, n * sizeof(float), err));
    return put_bytes(w, values, n * sizeof(float), err);
}

/* ---- reading ---- */

/* A file, and how many bytes of it are not read yet. */
struct wire_input {
    const char *path;
    FILE *file;
    uint64_t left;
};

static enum status no_message(const struct wire_input *in, struct error *err)
{
    return error_set(err, INVALID, "'%s' is no message of protobuf, or damaged", in->path);
}

/* bytes (VARINT_MAX) as they stand in the file, and the number that they are. */
static enum status read_varint(struct wire_input *in, uint8_t *bytes, size_t *ret_n, uint64_t *ret_number,
                               struct error *err)
{
    uint64_t number = 0;
    for (unsigned n = 0; n < VARINT_MAX; n++) {
        int c = in->left ? getc(in->file) : EOF;
        if (c == EOF)
            break;
        in->left--;
        bytes[n] = (uint8_t)c;
        number |= (uint64_t)(c & 0x7f) << (7 * n);
        if (c < 0x80) {
            *ret_n = n + 1;
            *ret_number = number;
            return OK;
        }
    }
    return no_message(in, err);
}

static enum status read_bytes(struct wire_input *in, uint64_t size, uint8_t **ret_bytes, struct error *err)
{
    if (size > in->left)
        return no_message(in, err);
    if (size > INT_MAX)
        return error_set(err, TOO_LARGE, "'%s' has a part of over 2 GiB", in->path);
    CLEANUP(freep) uint8_t *bytes = xmalloc((size_t)size + 1);
    if (fread(bytes, 1, (size_t)size, in->file) != size)
        return error_set(err, FAILED, "cannot read '%s'", in->path);
    in->left -= size;
    *ret_bytes = TAKE(bytes);
    return OK;
}

/* What follows the tag, up to the next one, but for a varint or a length; groups are not used by Caffe. */
static enum status content_size(const struct wire_input *in, unsigned type, uint64_t number,
                                uint64_t *ret_size, struct error *err)
{
    switch (type) {
    case VARINT:
        *ret_size = 0;
        return OK;
    case LENGTH_DELIMITED:
        *ret_size = number;
        return OK;
    case FIXED64:
        *ret_size = 8;
        return OK;
    case FIXED32:
        *ret_size = 4;
        return OK;
    default:
        return no_message(in, err);
    }
}

enum status wire_read(const char *path, unsigned field,
                      enum status (*take)(void *context, const uint8_t *bytes, size_t size,
                                          struct error *err),
                      void *context, struct buf *rest, struct error *err)
{
    struct stat st;
    CLEANUP(file_closep) FILE *file = fopen(path, "rbe");
    if (!file || fstat(fileno(file), &st))
        return error_set(err, status_from_errno(errno), "cannot open '%s': %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return error_set(err, INVALID, "'%s' is no regular file, whose size is known before it is read",
                         path);
    struct wire_input in = {path, file, (uint64_t)st.st_size};
    while (in.left) {
        uint8_t head[2 * VARINT_MAX];
        size_t n_tag = 0, n_number = 0;
        uint64_t tag = 0, number = 0, size = 0;
        CLEANUP(freep) uint8_t *bytes = NULL;
        TRY(read_varint(&in, head, &n_tag, &tag, err));
        unsigned type = tag & 7;
        if (type == VARINT || type == LENGTH_DELIMITED)
            TRY(read_varint(&in, head + n_tag, &n_number, &number, err));
        TRY(content_size(&in, type, number, &size, err));
        TRY(read_bytes(&in, size, &bytes, err));
        if (tag == ((uint64_t)field << 3 | LENGTH_DELIMITED)) {
            TRY(take(context, bytes, (size_t)size, err));
            continue;
        }
        buf_append(rest, head, n_tag + n_number);
        buf_append(rest, bytes, (size_t)size);
        if (rest->overflowed)
            return error_set(err, TOO_LARGE, "'%s' has more than %zu bytes", path, rest->max);
    }
    return OK;
}
