/* compute_image_mean.c - `et compute-image-mean`: the mean of a database's images, as Caffe's
 * compute_image_mean. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "cli/commands.h"
#include "engine/caffe_log.h"
#include "engine/data/datum.h"
#include "engine/data/db.h"

static const char help[] = "usage: et compute-image-mean [flags] DB [OUT]\n\n"
                           "Computes the mean of all images of the database DB, which must be of one size,\n"
                           "and writes it to OUT for transform_param's mean_file.  The log on stderr tells\n"
                           "the mean of each channel, for mean_value.\n\n"
                           "  --backend=NAME      lmdb (default) or leveldb\n"
                           "\nexample:\n"
                           "  et compute-image-mean train_lmdb mean.binaryproto\n";

enum { PROCESSED_EVERY = 10000 };

/* Sums of all values of one place, (C,H,W). */
struct mean {
    int channels, height, width;
    double *sums;
    uint64_t n_images;
};

static void mean_release(struct mean *m)
{
    free(m->sums);
}

static enum status add_image(struct mean *m, const struct sample *s, struct error *err)
{
    size_t channels = (size_t)s->channels, plane = (size_t)s->height * (size_t)s->width;
    if (!m->sums) {
        *m = (struct mean){s->channels, s->height, s->width, xcalloc(channels * plane, sizeof(double)), 0};
    } else if (s->channels != m->channels || s->height != m->height || s->width != m->width) {
        return error_set(err, INVALID,
                         "it is %d x %d x %d (channels, height, width), the first was %d x %d x %d",
                         s->channels, s->height, s->width, m->channels, m->height, m->width);
    }
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < plane; i++) {
            size_t from = s->interleaved ? i * channels + c : c * plane + i;
            m->sums[c * plane + i] += s->bytes ? (double)s->bytes[from] : (double)s->floats[from];
        }
    m->n_images++;
    return OK;
}

static enum status add_record(struct mean *m, const struct db *db, struct error *err)
{
    const void *bytes;
    size_t size;
    CLEANUP(datum_release) struct datum datum = {0};
    db_record(db, &bytes, &size);
    TRY(datum_read(bytes, size, IMAGE_AS_IS, &datum, err));
    return add_image(m, &datum.sample, err);
}

static void log_processed(const struct mean *m, bool at_end)
{
    if ((m->n_images % PROCESSED_EVERY == 0) != at_end)
        caffe_log('I', "compute_image_mean.cpp:90", "Processed %llu files.", (unsigned long long)m->n_images);
}

static void db_closep(struct db **db)
{
    if (*db)
        db_close(*db);
}

static enum status sum_images(enum db_backend backend, const char *path, struct mean *m, struct error *err)
{
    CLEANUP(db_closep) struct db *db = NULL;
    TRY(db_open(backend, path, &db, err));
    caffe_log('I', "compute_image_mean.cpp:65", "Starting iteration");
    for (; !db_at_end(db);) {
        if (add_record(m, db, err) != OK)
            return error_context(err, "record %llu of '%s'", (unsigned long long)m->n_images, path);
        log_processed(m, false);
        TRY(db_next(db, err));
    }
    log_processed(m, true);
    return OK;
}

static enum status write_mean(const char *path, const float *values, const struct mean *m, size_t n,
                              struct error *err)
{
    Caffe__BlobProto blob = CAFFE__BLOB_PROTO__INIT;
    blob.has_num = blob.has_channels = blob.has_height = blob.has_width = true;
    blob.num = 1;
    blob.channels = m->channels;
    blob.height = m->height;
    blob.width = m->width;
    blob.n_data = n;
    blob.data = (float *)values;
    size_t size = caffe__blob_proto__get_packed_size(&blob);
    CLEANUP(freep) uint8_t *bytes = xmalloc(size);
    caffe__blob_proto__pack(&blob, bytes);
    caffe_log('I', "compute_image_mean.cpp:101", "Write to %s", path);
    return file_write(path, bytes, size, 0666, err);
}

static enum status compute(enum db_backend backend, const char *path, const char *out, struct error *err)
{
    CLEANUP(mean_release) struct mean m = {0};
    TRY(sum_images(backend, path, &m, err));
    size_t plane = (size_t)m.height * (size_t)m.width, n = (size_t)m.channels * plane;
    CLEANUP(freep) float *values = xcalloc(n + 1, sizeof(*values));
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(m.sums[i] / (double)m.n_images);
    if (out)
        TRY(write_mean(out, values, &m, n, err));
    caffe_log('I', "compute_image_mean.cpp:107", "Number of channels: %d", m.channels);
    for (int c = 0; c < m.channels; c++) {
        double sum = 0;
        for (size_t i = 0; i < plane; i++)
            sum += values[(size_t)c * plane + i];
        caffe_log('I', "compute_image_mean.cpp:112", "mean_value channel [%d]: " CAFFE_FLOAT, c,
                  sum / (double)plane);
    }
    return OK;
}

int command_compute_image_mean(int argc, char **argv)
{
    static const char *const name = "compute-image-mean";
    static const struct option options[] = {
        {"backend", required_argument, NULL, 'b'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct error err;
    enum db_backend backend = DB_LMDB;
    optind = 0;
    opterr = 0;
    for (int flag; (flag = getopt_long_only(argc, argv, "", options, NULL)) != -1;) {
        if (flag == 'h')
            return fputs(help, stdout), EXIT_DONE;
        if (flag != 'b')
            return command_usage(name, "flag '%s' is not known, or has no value", argv[optind - 1]);
        if (db_backend_parse(optarg, &backend, &err) != OK)
            return command_usage(name, "%s", err.message);
    }
    int n = argc - optind;
    if (n < 1 || n > 2)
        return command_usage(name, "one or two names are needed: DB [OUT]");
    return compute(backend, argv[optind], n > 1 ? argv[optind + 1] : NULL, &err) == OK ? EXIT_DONE
                                                                                       : command_fail(&err);
}
