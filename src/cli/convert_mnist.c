/* convert_mnist.c - `et convert-mnist`: MNIST's idx files into a database, as Caffe's convert_mnist_data. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/file.h"
#include "cli/commands.h"
#include "engine/data/db.h"
#include "netdef/caffe.pb-c.h"

static const char help[] =
    "usage: et convert-mnist [--backend=lmdb|leveldb] IMAGES LABELS OUT\n\n"
    "Writes the images and labels of two idx files (gzipped or not) into the new\n"
    "database OUT, as Caffe's convert_mnist_data does.\n\n"
    "  --backend=NAME   lmdb (default) or leveldb\n"
    "\nexample:\n"
    "  et convert-mnist train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz mnist_train_lmdb\n";

enum { MAGIC_LABELS = 2049, MAGIC_IMAGES = 2051, MAX_PIXELS = 1 << 26 };

struct idx_file {
    const char *path;
    gzFile file;
};

static void idx_closep(struct idx_file *f)
{
    if (f->file)
        gzclose(f->file);
}

static enum status idx_open(const char *path, struct idx_file *f, struct error *err)
{
    f->path = path;
    errno = 0;
    f->file = gzopen(path, "rbe");
    if (!f->file)
        return error_set(err, status_from_errno(errno), "cannot open '%s': %s", path, strerror(errno));
    return OK;
}

static enum status idx_read(const struct idx_file *f, void *bytes, unsigned size, struct error *err)
{
    int n = gzread(f->file, bytes, size);
    if (n == (int)size)
        return OK;
    int code;
    const char *message = gzerror(f->file, &code);
    if (n < 0 && code != Z_BUF_ERROR)
        return error_set(err, INVALID, "cannot read '%s': %s", f->path,
                         code == Z_ERRNO ? strerror(errno) : message);
    return error_set(err, INVALID, "'%s' is cut short", f->path);
}

static enum status idx_number(const struct idx_file *f, uint32_t *ret_number, struct error *err)
{
    uint8_t b[4];
    TRY(idx_read(f, b, sizeof(b), err));
    *ret_number = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    return OK;
}

static enum status idx_magic(const struct idx_file *f, uint32_t magic, const char *what, struct error *err)
{
    uint32_t number;
    TRY(idx_number(f, &number, err));
    if (number != magic)
        return error_set(err, INVALID, "'%s' is no idx file of %s: it begins with %u, not %u", f->path, what,
                         number, magic);
    return OK;
}

struct mnist {
    struct idx_file images, labels;
    uint32_t n, rows, columns;
};

static enum status read_heads(struct mnist *m, struct error *err)
{
    uint32_t n_labels;
    TRY(idx_magic(&m->images, MAGIC_IMAGES, "images", err));
    TRY(idx_magic(&m->labels, MAGIC_LABELS, "labels", err));
    TRY(idx_number(&m->images, &m->n, err));
    TRY(idx_number(&m->labels, &n_labels, err));
    TRY(idx_number(&m->images, &m->rows, err));
    TRY(idx_number(&m->images, &m->columns, err));
    if (m->n != n_labels)
        return error_set(err, INVALID, "'%s' has %u images but '%s' has %u labels", m->images.path, m->n,
                         m->labels.path, n_labels);
    if (!m->n || !m->rows || !m->columns || (uint64_t)m->rows * m->columns > MAX_PIXELS)
        return error_set(err, INVALID, "'%s' has %u images of %u x %u", m->images.path, m->n, m->rows,
                         m->columns);
    return OK;
}

static enum status copy_records(const struct mnist *m, struct db_writer *out, struct error *err)
{
    unsigned size = m->rows * m->columns;
    CLEANUP(freep) uint8_t *pixels = xmalloc(size);
    CLEANUP(freep) uint8_t *record = NULL;
    Caffe__Datum datum = CAFFE__DATUM__INIT;
    datum.has_channels = datum.has_height = datum.has_width = datum.has_data = datum.has_label = true;
    datum.channels = 1;
    datum.height = (int32_t)m->rows;
    datum.width = (int32_t)m->columns;
    datum.data = (ProtobufCBinaryData){size, pixels};
    for (uint32_t i = 0; i < m->n; i++) {
        uint8_t label;
        TRY(idx_read(&m->images, pixels, size, err));
        TRY(idx_read(&m->labels, &label, 1, err));
        datum.label = label;
        size_t record_size = caffe__datum__get_packed_size(&datum);
        record = xrealloc(record, record_size);
        caffe__datum__pack(&datum, record);
        char key[16];
        snprintf(key, sizeof(key), "%08u", i);
        TRY(db_put(out, key, record, record_size, err));
    }
    return db_commit(out, err);
}

static enum status convert(const char *const paths[3], enum db_backend backend, struct error *err)
{
    CLEANUP(idx_closep) struct idx_file images = {0};
    CLEANUP(idx_closep) struct idx_file labels = {0};
    TRY(idx_open(paths[0], &images, err));
    TRY(idx_open(paths[1], &labels, err));
    struct mnist m = {.images = images, .labels = labels};
    TRY(read_heads(&m, err));
    struct db_writer *out;
    TRY(db_create(backend, paths[2], &out, err));
    enum status status = copy_records(&m, out, err);
    db_writer_free(out);
    if (status != OK)
        dir_remove(paths[2], NULL);
    else
        printf("%u images of %u x %u are in '%s'\n", m.n, m.columns, m.rows, paths[2]);
    return status;
}

int command_convert_mnist(int argc, char **argv)
{
    static const struct option options[] = {
        {"backend", required_argument, NULL, 'b'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct error err = {0};
    enum db_backend backend = DB_LMDB;
    optind = 0;
    opterr = 0;
    for (int flag; (flag = getopt_long_only(argc, argv, "", options, NULL)) != -1;) {
        if (flag == 'h')
            return fputs(help, stdout), EXIT_DONE;
        if (flag != 'b')
            return command_usage("convert-mnist", "flag '%s' is not known, or has no value",
                                 argv[optind - 1]);
        if (db_backend_parse(optarg, &backend, &err) != OK)
            return command_usage("convert-mnist", "%s", err.message);
    }
    if (argc - optind != 3)
        return command_usage("convert-mnist", "three names are needed: IMAGES LABELS OUT");
    return convert((const char *const *)argv + optind, backend, &err) == OK ? EXIT_DONE : command_fail(&err);
}
