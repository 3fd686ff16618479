/* classify_net.c - the child of a classify job: a net that gives each image its label. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/data/image.h"
#include "engine/net.h"
#include "worker/classify.h"

struct classifier {
    struct net *net;
    int input, output; /* blobs */
    int batch, channels, height, width;
    int64_t n_classes;
    float scale;
    const json_t *labels; /* lent; an array */
    float *data;          /* batch x channels x height x width */
    float *scores;        /* batch x n_classes */
};

static void classifier_release(struct classifier *c)
{
    net_free(c->net);
    free(c->data);
    free(c->scores);
}

static void net_parameter_freep(Caffe__NetParameter **p)
{
    if (*p)
        caffe__net_parameter__free_unpacked(*p, NULL);
}

/* ---- the net ---- */

static enum status find_input(struct classifier *c, struct error *err)
{
    const struct netdef *def = net_def(c->net);
    for (int i = 0; i < def->n_layers; i++) {
        const char *type = def->layers[i].type->name;
        if ((!strcmp(type, "Input") || !strcmp(type, "MemoryData")) && def->layers[i].n_tops > 0) {
            c->input = def->layers[i].tops[0];
            return OK;
        }
    }
    return error_set(err, INVALID, "the net has no Input or MemoryData layer to put an image into");
}

/* The probabilities: what a Softmax leaves, or else the last output that is none of the net's inputs. */
static enum status find_output(struct classifier *c, struct error *err)
{
    const struct netdef *def = net_def(c->net);
    bool is_softmax = false;
    c->output = -1;
    for (int i = 0; i < def->n_outputs; i++) {
        const struct layer_def *producer = &def->layers[def->blobs[def->outputs[i]].producer];
        bool is_better = !strcmp(producer->type->name, "Softmax");
        if (!producer->n_bottoms || (is_softmax && !is_better))
            continue;
        c->output = def->outputs[i];
        is_softmax = is_better;
    }
    return c->output < 0 ? error_set(err, INVALID, "the net has no output") : OK;
}

static enum status check_shapes(struct classifier *c, struct error *err)
{
    const struct netdef *def = net_def(c->net);
    const struct shape *in = &def->blobs[c->input].shape, *out = &def->blobs[c->output].shape;
    char text[SHAPE_TEXT_MAX];
    if (in->n_axes != 4 || in->dim[0] < 1 || in->dim[1] != c->channels || in->dim[2] != c->height ||
        in->dim[3] != c->width)
        return error_set(err, INVALID,
                         "the net's input '%s' has the shape %s, but the classifier's images are %d x %d "
                         "x %d (channels, height, width)",
                         def->blobs[c->input].name, shape_text(in, text), c->channels, c->height, c->width);
    c->batch = in->dim[0];
    if (out->n_axes < 1 || out->dim[0] != c->batch || shape_count(out) < c->batch)
        return error_set(err, INVALID,
                         "the net's output '%s' has the shape %s, which is not one row of classes an image",
                         def->blobs[c->output].name, shape_text(out, text));
    c->n_classes = shape_count(out) / c->batch;
    c->data = xcalloc((size_t)shape_count(in), sizeof(float));
    c->scores = xcalloc((size_t)shape_count(out), sizeof(float));
    return OK;
}

static enum status open_net(struct classifier *c, const json_t *spec, struct error *err)
{
    CLEANUP(net_parameter_freep) Caffe__NetParameter *param = NULL;
    TRY(net_read_file(json_get_string(spec, "net", ""), &param, err));
    struct netdef_options state = {.phase = CAFFE__PHASE__TEST};
    struct net_options options = {
        .threads = (int)json_get_int(spec, "threads", 0), .inference = true, .feeds_memory = true};
    TRY(net_create(param, &state, &options, &c->net, err));
    TRY(net_load_weights(c->net, json_get_string(spec, "weights", ""), err));
    TRY(find_input(c, err));
    TRY(find_output(c, err));
    return check_shapes(c, err);
}

/* ---- images ---- */

/* One image as plane after plane of floats, blue first. */
static enum status read_image(const struct classifier *c, const char *path, float *out, struct error *err)
{
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    TRY(file_read(path, IMAGE_MAX_FILE_BYTES, &bytes, &size, err));
    CLEANUP(image_release) struct image image = {0};
    CLEANUP(image_release) struct image resized = {0};
    TRY(image_decode(bytes, size, "image", c->channels == 3 ? IMAGE_COLOR : IMAGE_GREY, &image, err));
    image_resize(&image, c->height, c->width, &resized);
    size_t n_pixels = (size_t)c->height * (size_t)c->width, n_channels = (size_t)c->channels;
    for (size_t i = 0; i < n_pixels; i++)
        for (size_t k = 0; k < n_channels; k++)
            out[k * n_pixels + i] = (float)resized.pixels[i * n_channels + k] * c->scale;
    return OK;
}

static void give_error(json_t *results, const char *key, const struct error *err)
{
    json_object_set_new(results, key, json_sprintf("error: %s", err->message));
}

/* A net that learnt from a database has no labels but its classes' numbers.  New; NULL: no such label. */
static json_t *label_of(const struct classifier *c, int64_t class)
{
    if (!json_array_size(c->labels))
        return json_sprintf("%lld", (long long)class);
    const json_t *label = json_array_get(c->labels, (size_t) class);
    return json_is_string(label) ? json_string(json_string_value(label)) : NULL;
}

static void give_label(const struct classifier *c, json_t *result, const char *key, const float *scores)
{
    int64_t best = 0;
    for (int64_t i = 1; i < c->n_classes; i++)
        if (scores[i] > scores[best] || isnan(scores[best]))
            best = i;
    json_t *results = json_object_get(result, "results");
    struct error err;
    json_t *label = isnan(scores[best]) ? NULL : label_of(c, best);
    if (isnan(scores[best]))
        error_set(&err, INVALID, "the net's output is not a number");
    else if (!label)
        error_set(&err, INVALID, "the net says class %lld, but there are %zu labels", (long long)best,
                  json_array_size(c->labels));
    else {
        json_object_set_new(results, key, label);
        if (isfinite(scores[best]))
            json_object_set_new(json_object_get(result, "scores"), key, json_real(scores[best]));
        return;
    }
    give_error(results, key, &err);
}

/* Fills one batch from images[*at..], runs it, and notes the labels. */
static enum status run_batch(struct classifier *c, const json_t *images, size_t *at, json_t *result,
                             struct error *err)
{
    size_t n_floats = (size_t)c->channels * (size_t)c->height * (size_t)c->width;
    CLEANUP(freep) const char **keys = xcalloc((size_t)c->batch, sizeof(*keys));
    int n = 0;
    for (; n < c->batch && *at < json_array_size(images); (*at)++) {
        const json_t *image = json_array_get(images, *at);
        struct error why = {0};
        keys[n] = json_get_string(image, "key", "");
        if (read_image(c, json_get_string(image, "file", ""), c->data + (size_t)n * n_floats, &why) == OK)
            n++;
        else
            give_error(json_object_get(result, "results"), keys[n], &why);
    }
    if (!n)
        return OK;
    net_blob_write(c->net, c->input, c->data);
    TRY(net_forward(c->net, NULL, err));
    net_blob_read(c->net, c->output, c->scores);
    for (int i = 0; i < n; i++)
        give_label(c, result, keys[i], c->scores + (int64_t)i * c->n_classes);
    return OK;
}

enum status classify_images(const json_t *spec, json_t **ret_result, struct error *err)
{
    CLEANUP(classifier_release)
    struct classifier c = {
        .channels = json_get_bool(spec, "color", false) ? 3 : 1,
        .height = (int)json_get_int(spec, "height", 0),
        .width = (int)json_get_int(spec, "width", 0),
        .scale = (float)(json_number_value(json_object_get(spec, "scale")) / 255),
        .labels = json_object_get(spec, "labels"),
    };
    if (c.height < 1 || c.width < 1 || c.height > 65536 || c.width > 65536)
        return error_set(err, INVALID, "images of %d x %d pixels cannot be classified", c.width, c.height);
    TRY(open_net(&c, spec, err));
    CLEANUP(json_decrefp) json_t *result = json_pack("{s:{}, s:{}}", "results", "scores");
    const json_t *images = json_object_get(spec, "images");
    for (size_t at = 0; at < json_array_size(images);)
        TRY(run_batch(&c, images, &at, result, err));
    *ret_result = TAKE(result);
    return OK;
}

static enum status run_command(const char *spec_path, struct error *err)
{
    CLEANUP(freep) char *text = NULL;
    size_t size;
    TRY(file_read(spec_path, 256u << 20, &text, &size, err));
    CLEANUP(json_decrefp) json_t *spec = NULL;
    CLEANUP(json_decrefp) json_t *result = NULL;
    TRY(json_read(text, size, &spec, err));
    TRY(classify_images(spec, &result, err));
    CLEANUP(freep) char *answer = json_text(result);
    return file_write(json_get_string(spec, "result", "result.json"), answer, strlen(answer), 0666, err);
}

int classify_main(const char *spec_path)
{
    struct error err = {0};
    if (run_command(spec_path, &err) == OK)
        return 0;
    fprintf(stderr, "et: %s\n", err.message);
    return 1;
}
