#include "worker/progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define METRIC_NAME_MAX 64 /* with its NUL: what the server takes */

void progress_init(struct progress *p, const struct progress_sink *sink)
{
    *p = (struct progress){.sink = *sink, .latest = json_object()};
}

void progress_release(struct progress *p)
{
    json_decref(p->latest);
    json_decref(p->layer_times);
    p->latest = p->layer_times = NULL;
}

/* A number, or one of the three words for what JSON cannot say. */
static bool read_number(const json_t *value, double *ret_number)
{
    const char *word = json_string_value(value);
    if (json_is_number(value))
        return *ret_number = json_number_value(value), true;
    if (word && !strcmp(word, "NaN"))
        return *ret_number = NAN, true;
    if (word && (!strcmp(word, "Infinity") || !strcmp(word, "-Infinity")))
        return *ret_number = word[0] == '-' ? -INFINITY : INFINITY, true;
    return false;
}

static void give_metric(struct progress *p, const char *prefix, const char *name, int element, int64_t step,
                        const json_t *value)
{
    char full[METRIC_NAME_MAX];
    double number;
    if (!read_number(value, &number))
        return;
    if (element < 0)
        snprintf(full, sizeof(full), "%s%s", prefix, name);
    else
        snprintf(full, sizeof(full), "%s%s.%d", prefix, name, element);
    p->sink.metric(p->sink.context, full, step, number);
}

static void give_outputs(struct progress *p, const char *prefix, int64_t step, json_t *outputs)
{
    const char *name;
    json_t *value, *each;
    size_t i;
    json_object_foreach(outputs, name, value) {
        if (!json_is_array(value))
            give_metric(p, prefix, name, -1, step, value);
        else
            json_array_foreach(value, i, each)
                give_metric(p, prefix, name, (int)i, step, each);
    }
}

static void give_progress(struct progress *p)
{
    p->sink.progress(p->sink.context, json_copy(p->latest));
}

static void on_iteration(struct progress *p, const json_t *line, int64_t step)
{
    static const char *const metrics[] = {"loss", "lr", "images_per_second"};
    static const char *const kept[] = {"iteration", "max_iterations", "loss", "lr", "images_per_second"};
    for (size_t i = 0; i < ARRAY_SIZE(metrics); i++)
        give_metric(p, "", metrics[i], -1, step, json_object_get(line, metrics[i]));
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        if (json_object_get(line, kept[i]))
            json_object_set(p->latest, kept[i], json_object_get(line, kept[i]));
    give_progress(p);
}

static void on_test(struct progress *p, const json_t *line, int64_t step)
{
    int64_t test = json_get_int(line, "test", 0);
    json_t *outputs = json_object_get(line, "outputs");
    char prefix[32] = "test/";
    if (test)
        snprintf(prefix, sizeof(prefix), "test%lld/", (long long)test);
    give_outputs(p, prefix, step, outputs);
    double accuracy;
    if (test || !read_number(json_object_get(outputs, "accuracy"), &accuracy) || !isfinite(accuracy))
        return;
    p->accuracy = accuracy;
    p->has_accuracy = true;
    json_object_set_new(p->latest, "accuracy", json_real(accuracy));
    if (json_object_get(p->latest, "iteration"))
        give_progress(p);
}

void progress_line(struct progress *p, const char *text)
{
    CLEANUP(json_decrefp) json_t *line = NULL;
    struct error unread;
    if (json_read(text, strlen(text), &line, &unread) != OK)
        return;
    const json_t *snapshot = json_object_get(line, "snapshot");
    int64_t step = json_get_int(line, "iteration", 0);
    if (snapshot) {
        p->sink.snapshot(p->sink.context, json_get_string(snapshot, "model", ""),
                         json_get_string(snapshot, "state", ""), json_get_bool(snapshot, "service", false));
    } else if (json_object_get(line, "layer_times")) {
        json_decref(p->layer_times);
        p->layer_times = json_incref(json_object_get(line, "layer_times"));
    } else if (json_object_get(line, "test")) {
        on_test(p, line, step);
    } else if (json_object_get(line, "iteration")) {
        on_iteration(p, line, step);
    }
}
