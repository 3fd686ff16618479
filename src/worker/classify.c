/*
 * classify.c - a job that classifies: gathers net, weights and images in its
 * folder, and runs `et classify-images` there.
 */
#include "worker/classify.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "engine/data/image.h"
#include "worker/child.h"
#include "worker/kinds.h"

struct classify {
    struct job *job;
    json_t *results; /* of images that could not be had: "error: ..." */
    json_t *ready;   /* [{"key", "file"}] */
    bool unreached;  /* some URL did not answer now */
};

/* One image to a file.  Errors end the job; an image's own error is noted. */
static enum status get_image(struct classify *c, const json_t *image, size_t index, struct error *err)
{
    const char *key = json_get_string(image, "key", NULL), *url = json_get_string(image, "url", NULL);
    const char *input = json_get_string(image, "input", NULL);
    if (!key || (!url && !input))
        return error_set(err, INVALID, "image %zu needs 'key', and 'url' or 'input'", index);
    CLEANUP(freep) char *file = xasprintf("image-%zu", index);
    enum status status = url ? job_fetch_url(c->job, url, file, IMAGE_MAX_FILE_BYTES, err)
                             : job_get_input(c->job, input, file, err);
    if (status == OK) {
        json_array_append_new(c->ready, json_pack("{s:s, s:s}", "key", key, "file", file));
        return OK;
    }
    if (!url || status == CANCELLED || status == NO_SPACE)
        return status;
    c->unreached = c->unreached || status == UNAVAILABLE;
    job_log(c->job, "skipped %s: %s", key, err->message);
    json_object_set_new(c->results, key, json_sprintf("error: %s", err->message));
    return OK;
}

/* A model in HDF5 is known to the engine by its name. */
static const char *name_weights(const struct classify *c)
{
    CLEANUP(freep) char *path = path_join(job_folder(c->job), "trained.caffemodel");
    CLEANUP(freep) char *hdf5 = xasprintf("%s.h5", path);
    char magic[8] = "";
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is_hdf5 = fd >= 0 && read(fd, magic, 8) == 8 && !memcmp(magic, "\x89HDF\r\n\x1a\n", 8);
    return is_hdf5 && !rename(path, hdf5) ? "trained.caffemodel.h5" : "trained.caffemodel";
}

static enum status write_spec(const struct classify *c, struct error *err)
{
    CLEANUP(json_decrefp) json_t *spec = json_object();
    static const char *const copied[] = {"scale", "width", "height", "color", "labels"};
    for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
        json_t *value = json_object_get(job_lease(c->job)->spec, copied[i]);
        if (!value)
            return error_set(err, INVALID, "a classify job needs '%s'", copied[i]);
        json_object_set(spec, copied[i], value);
    }
    json_object_set_new(spec, "net", json_string("classifier.prototxt"));
    json_object_set_new(spec, "weights", json_string(name_weights(c)));
    json_object_set_new(spec, "result", json_string("result.json"));
    json_object_set_new(spec, "threads", json_integer(job_host(c->job)->threads));
    json_object_set(spec, "images", c->ready);
    CLEANUP(freep) char *text = json_text(spec);
    CLEANUP(freep) char *path = path_join(job_folder(c->job), "spec.json");
    return file_write(path, text, strlen(text), 0666, err);
}

static enum status run_child(struct classify *c, json_t **ret_answer, struct error *err)
{
    TRY(write_spec(c, err));
    const char *argv[] = {"et", "classify-images", "spec.json", NULL};
    struct child_options options = {.argv = argv};
    TRY(child_run(c->job, &options, err));
    CLEANUP(freep) char *path = path_join(job_folder(c->job), "result.json");
    CLEANUP(freep) char *text = NULL;
    size_t size;
    TRY(file_read(path, 256u << 20, &text, &size, err));
    return json_read(text, size, ret_answer, err);
}

static bool is_error(const json_t *result)
{
    const char *text = json_string_value(result);
    return text && !strncmp(text, "error: ", 7);
}

/* Errors of fetching and of the net together.  Some image must have got its label. */
static enum status put_together(struct classify *c, const json_t *answer, json_t **ret_result,
                                struct error *err)
{
    json_object_update(c->results, json_object_get(answer, "results"));
    const char *key, *first = NULL;
    json_t *value;
    int n_errors = 0;
    json_object_foreach(c->results, key, value) {
        if (!is_error(value))
            continue;
        n_errors++;
        first = first ? first : json_string_value(value) + strlen("error: ");
    }
    if (n_errors && (size_t)n_errors == json_object_size(c->results))
        return error_set(err, c->unreached ? UNAVAILABLE : INVALID,
                         "none of the %d images can be classified: %s", n_errors, first);
    json_t *scores = json_object_get(answer, "scores");
    *ret_result = json_pack("{s:O, s:o, s:i}", "results", c->results, "scores",
                            scores ? json_incref(scores) : json_object(), "skipped", n_errors);
    return OK;
}

static enum status run(struct classify *c, json_t **ret_result, struct error *err)
{
    const json_t *images = json_object_get(job_lease(c->job)->spec, "images");
    if (!json_array_size(images))
        return error_set(err, INVALID, "a classify job needs 'images'");
    TRY(job_get_input(c->job, "classifier.prototxt", "classifier.prototxt", err));
    TRY(job_get_input(c->job, "trained.caffemodel", "trained.caffemodel", err));
    for (size_t i = 0; i < json_array_size(images); i++)
        TRY(get_image(c, json_array_get(images, i), i, err));
    CLEANUP(json_decrefp) json_t *answer = NULL;
    if (json_array_size(c->ready))
        TRY(run_child(c, &answer, err));
    return put_together(c, answer, ret_result, err);
}

enum status job_run_classify(struct job *job, json_t **ret_result, struct error *err)
{
    struct classify c = {.job = job, .results = json_object(), .ready = json_array()};
    enum status status = run(&c, ret_result, err);
    json_decref(c.results);
    json_decref(c.ready);
    return status;
}
