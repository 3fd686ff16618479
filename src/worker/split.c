/*
 * split.c - a job that makes a dataset: its datafiles are checked, divided
 * when both sides come from one, and written anew as two .tar.gz.
 *
 * One pass, one image in memory at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/data/image.h"
#include "worker/archives.h"
#include "worker/database.h"
#include "worker/kinds.h"
#include "worker/labels.h"

#define NAMED_MAX 100 /* unreadable images that the log names */

static const char *const side_names[] = {"training", "test"};
static const char *const side_files[] = {"training.tar.gz", "testing.tar.gz"};

struct side {
    const char *input; /* name of the datafile */
    double share;
};

struct split {
    struct job *job;
    struct side sides[2];
    struct archive_writer *writers[2];
    struct labels labels;
    int64_t n_images[2], n_skipped;
    int shape[3]; /* channels, height, width of all so far */
    bool shapes_differ;
};

static void split_release(struct split *s)
{
    archive_writer_free(s->writers[0]);
    archive_writer_free(s->writers[1]);
    labels_release(&s->labels);
}

/* ---- what is asked for ---- */

static enum status read_side(const json_t *spec, const char *name, struct side *side, struct error *err)
{
    const json_t *object = json_object_get(spec, name);
    side->input = json_get_string(object, "input", NULL);
    side->share = json_number_value(json_object_get(object, "share"));
    if (!side->input)
        return error_set(err, INVALID, "a split job needs '%s.input'", name);
    if (!(side->share >= 0 && side->share <= 1e6))
        return error_set(err, INVALID, "a share of %g is neither a fraction nor a percentage", side->share);
    return OK;
}

static bool is_divided(const struct split *s)
{
    return !strcmp(s->sides[0].input, s->sides[1].input) && s->sides[0].share > 0 && s->sides[1].share > 0;
}

static enum status open_input(struct split *s, const char *input, int *ret_fd, struct error *err)
{
    CLEANUP(freep) char *path = path_join(job_folder(s->job), input);
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
    return *ret_fd < 0 ? error_set(err, FAILED, "cannot open '%s': %s", path, strerror(errno)) : OK;
}

/* ---- images ---- */

static void note_shape(struct split *s, const struct image *image)
{
    int shape[3] = {image->channels == 1 ? 1 : 3, image->height, image->width};
    if (!s->n_images[0] && !s->n_images[1])
        memcpy(s->shape, shape, sizeof(shape));
    else if (memcmp(s->shape, shape, sizeof(shape)))
        s->shapes_differ = true;
}

static void skip_image(struct split *s, struct label *label, const char *path, const char *why)
{
    if (!label->n_unreadable++)
        label->unreadable = xasprintf("%s: %s", path, why);
    if (s->n_skipped++ < NAMED_MAX)
        job_log(s->job, "skipped %s: %s", path, why);
}

static enum status add_image(struct split *s, struct archive_reader *reader, const struct archive_item *item,
                             int side, struct error *err)
{
    int index;
    TRY(labels_of_path(&s->labels, item->path, &index, err));
    struct label *label = &s->labels.items[index];
    if (item->size > (int64_t)IMAGE_MAX_FILE_BYTES)
        return skip_image(s, label, item->path, "larger than 256 MiB"), OK;
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    TRY(archive_reader_read_all(reader, IMAGE_MAX_FILE_BYTES, &bytes, &size, err));
    CLEANUP(image_release) struct image image = {0};
    struct error why = {0};
    if (image_decode(bytes, size, "image", IMAGE_AS_IS, &image, &why) != OK)
        return skip_image(s, label, item->path, why.message), OK;
    note_shape(s, &image);
    if (side < 0)
        side = labels_side(label, s->sides[SIDE_TRAINING].share, s->sides[SIDE_TEST].share);
    label->n_images[side]++;
    s->n_images[side]++;
    TRY(archive_writer_begin(s->writers[side], item->path, (int64_t)size, err));
    return archive_writer_data(s->writers[side], bytes, size, err);
}

/* All images of one datafile; side -1: divided. */
static enum status add_images(struct split *s, const char *input, int side, struct error *err)
{
    CLEANUP(fd_closep) int fd = -1;
    TRY(open_input(s, input, &fd, err));
    CLEANUP(archive_reader_freep) struct archive_reader *reader = NULL;
    TRY(archive_reader_open(fd, input, NULL, &reader, err));
    labels_begin_archive(&s->labels);
    int64_t n_files = 0;
    CLEANUP(freep) char *only = NULL;
    for (;;) {
        TRY(job_check(s->job, err));
        struct archive_item item;
        bool more;
        TRY(archive_reader_next(reader, &item, &more, err));
        if (!more)
            break;
        if (item.is_folder)
            continue;
        if (!n_files++)
            only = xstrdup(item.path);
        if (add_image(s, reader, &item, side, err) != OK)
            return error_context(err, "datafile '%s'", input);
    }
    if (!n_files)
        return error_set(err, INVALID, "datafile '%s' holds no files", input);
    if (n_files == 1 && side != SIDE_TEST)
        return error_set(err, INVALID,
                         "datafile '%s' holds one file only, '%s': one folder a label is needed, "
                         "each with its images",
                         input, only);
    return OK;
}

/* Every label must have images left; a side without any is told, not refused. */
static enum status check_labels(struct split *s, struct error *err)
{
    if (s->n_skipped > NAMED_MAX)
        job_log(s->job, "skipped %lld images in all; the first %d are named above", (long long)s->n_skipped,
                NAMED_MAX);
    for (int i = 0; i < s->labels.n; i++) {
        const struct label *l = &s->labels.items[i];
        int64_t n = l->n_images[0] + l->n_images[1];
        if (!n)
            return error_set(err, INVALID,
                             "label '%s' has no image left: none of its %lld files can be read (%s)", l->name,
                             (long long)l->n_unreadable, l->unreadable);
        for (int side = 0; side < 2; side++)
            if (!l->n_images[side])
                job_log(s->job, "label '%s' has no %s image: all %lld are on the other side", l->name,
                        side_names[side], (long long)n);
    }
    return OK;
}

static json_t *count_json(int64_t n)
{
    return json_pack("{s:I}", "images", (json_int_t)n);
}

static enum status split_images(struct split *s, json_t **ret_result, struct error *err)
{
    if (is_divided(s))
        TRY(add_images(s, s->sides[0].input, -1, err));
    else
        for (int side = 0; side < 2; side++)
            TRY(add_images(s, s->sides[side].input, side, err));
    TRY(check_labels(s, err));
    json_t *shape =
        s->shapes_differ ? json_null() : json_pack("[iii]", s->shape[0], s->shape[1], s->shape[2]);
    job_log(s->job, "%lld images to train with, %lld to test with, %d labels, %lld skipped",
            (long long)s->n_images[0], (long long)s->n_images[1], s->labels.n, (long long)s->n_skipped);
    *ret_result = json_pack("{s:o, s:o, s:o, s:o, s:I}", "training", count_json(s->n_images[SIDE_TRAINING]),
                            "test", count_json(s->n_images[SIDE_TEST]), "labels", labels_json(&s->labels),
                            "image-shape", shape, "skipped", (json_int_t)s->n_skipped);
    return OK;
}

/* ---- databases ---- */

static enum status copy_entry(struct split *s, struct archive_reader *reader, const struct archive_item *item,
                              int side, struct error *err)
{
    if (item->size < 0)
        return error_set(err, INVALID, "entry '%s' does not say how large it is", item->path);
    TRY(archive_writer_begin(s->writers[side], item->path, item->size, err));
    for (;;) {
        char part[65536];
        size_t n;
        TRY(archive_reader_read(reader, part, sizeof(part), &n, err));
        if (!n)
            return job_check(s->job, err);
        TRY(archive_writer_data(s->writers[side], part, n, err));
    }
}

static enum status copy_database(struct split *s, int side, struct error *err)
{
    const char *input = s->sides[side].input;
    CLEANUP(fd_closep) int fd = -1;
    TRY(open_input(s, input, &fd, err));
    CLEANUP(archive_reader_freep) struct archive_reader *reader = NULL;
    TRY(archive_reader_open(fd, input, NULL, &reader, err));
    CLEANUP(database_release) struct database database = {0};
    for (;;) {
        struct archive_item item;
        bool more;
        TRY(archive_reader_next(reader, &item, &more, err));
        if (!more)
            break;
        if (item.is_folder)
            continue;
        TRY(database_note(&database, item.path, err));
        TRY(copy_entry(s, reader, &item, side, err));
    }
    if (!database.folder)
        return error_set(err, INVALID, "datafile '%s' holds no LMDB (data.mdb) and no LevelDB (CURRENT)",
                         input);
    job_log(s->job, "%s: %s in '%s'", side_names[side], database.kind, database.folder);
    return OK;
}

static enum status split_databases(struct split *s, json_t **ret_result, struct error *err)
{
    if (is_divided(s))
        return error_set(err, INVALID,
                         "a database (LMDB, LevelDB) cannot be divided: give a datafile each for "
                         "training and test");
    for (int side = 0; side < 2; side++)
        TRY(copy_database(s, side, err));
    *ret_result =
        json_pack("{s:{}, s:{}, s:n, s:n, s:i}", "training", "test", "labels", "image-shape", "skipped", 0);
    return OK;
}

/* For a datafile whose kind nobody told: the names in it do. */
static enum status look_for_database(struct split *s, bool *ret_found, struct error *err)
{
    CLEANUP(fd_closep) int fd = -1;
    TRY(open_input(s, s->sides[0].input, &fd, err));
    CLEANUP(archive_reader_freep) struct archive_reader *reader = NULL;
    TRY(archive_reader_open(fd, s->sides[0].input, NULL, &reader, err));
    for (;;) {
        TRY(job_check(s->job, err));
        struct archive_item item;
        bool more;
        TRY(archive_reader_next(reader, &item, &more, err));
        if (!more || database_kind(item.path)) {
            *ret_found = more;
            return OK;
        }
    }
}

/* ---- the job ---- */

static enum status run(struct split *s, json_t **ret_result, struct error *err)
{
    const json_t *spec = job_lease(s->job)->spec;
    TRY(read_side(spec, "training", &s->sides[SIDE_TRAINING], err));
    TRY(read_side(spec, "test", &s->sides[SIDE_TEST], err));
    const char *layer_type = json_get_string(spec, "layer_type", "");
    for (int side = 0; side < 2; side++) {
        if (!side || strcmp(s->sides[0].input, s->sides[1].input))
            TRY(job_get_input(s->job, s->sides[side].input, s->sides[side].input, err));
        CLEANUP(freep) char *path = path_join(job_folder(s->job), side_files[side]);
        TRY(archive_writer_open(path, ARCHIVE_GZIP, &s->writers[side], err));
    }
    bool is_database = !strcmp(layer_type, "DATA");
    if (!layer_type[0])
        TRY(look_for_database(s, &is_database, err));
    CLEANUP(json_decrefp) json_t *result = NULL;
    TRY(is_database ? split_databases(s, &result, err) : split_images(s, &result, err));
    for (int side = 0; side < 2; side++) {
        TRY(archive_writer_finish(s->writers[side], err));
        TRY(job_put_blob(s->job, side_files[side], side_files[side], err));
    }
    *ret_result = TAKE(result);
    return OK;
}

enum status job_run_split(struct job *job, json_t **ret_result, struct error *err)
{
    CLEANUP(split_release) struct split s = {.job = job};
    labels_init(&s.labels);
    return run(&s, ret_result, err);
}
