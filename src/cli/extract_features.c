/* extract_features.c - `et extract-features`: a net's blobs into databases, as Caffe's extract_features. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/caffe_flags.h"
#include "cli/commands.h"
#include "cli/memory_feed.h"
#include "engine/caffe_log.h"
#include "engine/data/db.h"

static const char help[] =
    "usage: et extract-features WEIGHTS NET BLOBS DBS N DB_TYPE [CPU|GPU] [flags]\n\n"
    "Runs N batches of the net's data through it in phase TEST, and writes each blob of\n"
    "BLOBS (comma-separated) to its new database of DBS: one Datum of floats an image.\n"
    "DB_TYPE is lmdb or leveldb.\n\n"
    "  --images=LIST       images for the net's MemoryData layer: a file of \"path label\" lines\n"
    "  --threads=N         threads to compute with (all processors)\n"
    "\nexample:\n"
    "  et extract-features caffenet.caffemodel val.prototxt fc6,fc7 fc6_lmdb,fc7_lmdb 10 lmdb\n";

enum { TOLD_EVERY = 1000, FEATURES_MAX = 64 };

struct feature {
    const char *blob_name, *path;
    int blob;
    int n, channels, height, width; /* as Caffe's legacy accessors say */
    float *values;
    struct db_writer *out;
    uint64_t n_records;
};

struct features {
    int n;
    struct feature each[FEATURES_MAX];
    bool is_made; /* the databases are */
};

/* Databases of a run that failed are no use. */
static void features_release(struct features *f)
{
    for (int i = 0; i < f->n; i++) {
        free(f->each[i].values);
        if (!f->each[i].out)
            continue;
        db_writer_free(f->each[i].out);
        if (!f->is_made)
            dir_remove(f->each[i].path, NULL);
    }
}

/* Cuts the lists, in place. */
static enum status read_lists(char *blobs, char *paths, struct features *f, struct error *err)
{
    char *rest_blobs = NULL, *rest_paths = NULL;
    char *blob = strtok_r(blobs, ",", &rest_blobs), *path = strtok_r(paths, ",", &rest_paths);
    while (blob && path && f->n < FEATURES_MAX) {
        f->each[f->n++] = (struct feature){.blob_name = blob, .path = path};
        blob = strtok_r(NULL, ",", &rest_blobs);
        path = strtok_r(NULL, ",", &rest_paths);
    }
    if (blob && path)
        return error_set(err, INVALID, "at most %d blobs at once", FEATURES_MAX);
    if (blob || path || !f->n)
        return error_set(err, INVALID, "there must be one database for each blob");
    return OK;
}

static int axis_or_1(const struct shape *s, int axis)
{
    return axis < s->n_axes ? s->dim[axis] : 1;
}

static enum status find_blob(const struct net *net, struct feature *f, struct error *err)
{
    const struct netdef *def = net_def(net);
    f->blob = netdef_find_blob(def, f->blob_name);
    if (f->blob < 0)
        return error_set(err, NOT_FOUND, "the net has no blob '%s'", f->blob_name);
    const struct shape *s = &def->blobs[f->blob].shape;
    char text[SHAPE_TEXT_MAX];
    if (s->n_axes > 4 || shape_count(s) == 0)
        return error_set(err, INVALID, "blob '%s' has shape %s; a Datum has 1 to 4 axes", f->blob_name,
                         shape_text(s, text));
    f->n = axis_or_1(s, 0);
    f->channels = axis_or_1(s, 1);
    f->height = axis_or_1(s, 2);
    f->width = axis_or_1(s, 3);
    f->values = xcalloc((size_t)shape_count(s) + 1, sizeof(float));
    return OK;
}

static void tell(const struct feature *f)
{
    caffe_log('E', "extract_features.cpp:181", "Extracted features of %llu query images for feature blob %s",
              (unsigned long long)f->n_records, f->blob_name);
}

static enum status put_batch(struct net *net, struct feature *f, struct error *err)
{
    size_t n_values = (size_t)f->channels * (size_t)f->height * (size_t)f->width;
    Caffe__Datum datum = CAFFE__DATUM__INIT;
    datum.has_channels = datum.has_height = datum.has_width = true;
    datum.channels = f->channels;
    datum.height = f->height;
    datum.width = f->width;
    datum.n_float_data = n_values;
    net_blob_read(net, f->blob, f->values);
    for (int i = 0; i < f->n; i++) {
        datum.float_data = f->values + (size_t)i * n_values;
        size_t size = caffe__datum__get_packed_size(&datum);
        CLEANUP(freep) uint8_t *record = xmalloc(size);
        caffe__datum__pack(&datum, record);
        char key[24];
        snprintf(key, sizeof(key), "%010llu", (unsigned long long)f->n_records++);
        TRY(db_put(f->out, key, record, size, err));
        if (f->n_records % TOLD_EVERY == 0)
            tell(f);
    }
    return OK;
}

/* images: a list for the MemoryData layer; NULL: the net has its own data. */
static enum status extract(struct net *net, const char *images, struct features *f, int n_batches,
                           enum db_backend backend, struct error *err)
{
    CLEANUP(memory_feed_freep) struct memory_feed *feed = NULL;
    if (images)
        TRY(memory_feed_new(net, images, &feed, err));
    for (int i = 0; i < f->n; i++)
        TRY(find_blob(net, &f->each[i], err));
    for (int i = 0; i < f->n; i++) {
        caffe_log('I', "extract_features.cpp:134", "Opening dataset %s", f->each[i].path);
        TRY(db_create(backend, f->each[i].path, &f->each[i].out, err));
    }
    caffe_log('E', "extract_features.cpp:142", "Extracting Features");
    for (int batch = 0; batch < n_batches; batch++) {
        if (feed)
            TRY(memory_feed_next(feed, err));
        TRY(net_forward(net, NULL, err));
        for (int i = 0; i < f->n; i++)
            TRY(put_batch(net, &f->each[i], err));
    }
    for (int i = 0; i < f->n; i++) {
        TRY(db_commit(f->each[i].out, err));
        tell(&f->each[i]);
    }
    f->is_made = true;
    caffe_log('E', "extract_features.cpp:196", "Successfully extracted the features!");
    return OK;
}

/* The positional arguments, in Caffe's order. */
enum { WEIGHTS, NET, BLOBS, DBS, N_BATCHES, DB_TYPE, N_NEEDED, MODE = N_NEEDED };

struct how {
    int n_batches, threads;
    enum db_backend backend;
    const char *images;
};

static enum status run(char **args, int n_args, const struct how *how, struct error *err)
{
    CLEANUP(features_release) struct features f = {0};
    TRY(read_lists(args[BLOBS], args[DBS], &f, err));
    struct caffe_flags flags = {
        .model = args[NET],
        .weights = args[WEIGHTS],
        .threads = how->threads,
        .gpu = n_args > MODE && !strcmp(args[MODE], "GPU") ? "0" : NULL,
        .keep_blobs = true,
        .feeds_memory = how->images,
    };
    caffe_flags_log_device(&flags, false);
    CLEANUP(net_freep) struct net *net = NULL;
    TRY(caffe_flags_net(&flags, CAFFE__PHASE__TEST, true, &net, err));
    return extract(net, how->images, &f, how->n_batches, how->backend, err);
}

static bool read_count(const char *text, int min, int *ret_count)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < min || value > INT_MAX)
        return false;
    *ret_count = (int)value;
    return true;
}

int command_extract_features(int argc, char **argv)
{
    static const char *const name = "extract-features";
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {"images", required_argument, NULL, 'i'},
        {"threads", required_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    struct error err;
    struct how how = {0};
    optind = 0;
    opterr = 0;
    for (int flag; (flag = getopt_long_only(argc, argv, "", options, NULL)) != -1;) {
        if (flag == 'h')
            return fputs(help, stdout), EXIT_DONE;
        if (flag == 'i')
            how.images = optarg;
        else if (flag != 't')
            return command_usage(name, "flag '%s' is not known, or has no value", argv[optind - 1]);
        else if (!read_count(optarg, 0, &how.threads))
            return command_usage(name, "--threads is '%s'; it must be a number, or 0 for all", optarg);
    }
    char **args = argv + optind;
    int n_args = argc - optind;
    if (n_args < N_NEEDED || n_args > N_NEEDED + 2)
        return command_usage(name, "six arguments are needed: WEIGHTS NET BLOBS DBS N DB_TYPE");
    if (!read_count(args[N_BATCHES], 1, &how.n_batches))
        return command_usage(name, "'%s' batches; it must be a number above 0", args[N_BATCHES]);
    if (db_backend_parse(args[DB_TYPE], &how.backend, &err) != OK)
        return command_usage(name, "%s", err.message);
    return run(args, n_args, &how, &err) == OK ? EXIT_DONE : command_fail(&err);
}
