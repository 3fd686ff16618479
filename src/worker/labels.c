#include "worker/labels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void labels_init(struct labels *l)
{
    *l = (struct labels){.by_name = json_object(), .by_folder = json_object()};
}

void labels_release(struct labels *l)
{
    for (int i = 0; i < l->n; i++) {
        free(l->items[i].name);
        free(l->items[i].folder);
        free(l->items[i].unreadable);
    }
    free(l->items);
    json_decref(l->by_name);
    json_decref(l->by_folder);
    *l = (struct labels){0};
}

void labels_begin_archive(struct labels *l)
{
    for (int i = 0; i < l->n; i++) {
        free(l->items[i].folder);
        l->items[i].folder = NULL;
    }
    json_object_clear(l->by_folder);
}

static int add(struct labels *l, const char *name)
{
    l->items = xrealloc(l->items, ((size_t)l->n + 1) * sizeof(*l->items));
    l->items[l->n] = (struct label){.name = xstrdup(name)};
    json_object_set_new_nocheck(l->by_name, name, json_integer(l->n));
    return l->n++;
}

enum status labels_of_path(struct labels *l, const char *path, int *ret_label, struct error *err)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return error_set(err, INVALID, "'%s' lies in no folder: one folder a label is needed, as in 'A/%s'",
                         path, path);
    CLEANUP(freep) char *folder = strndup(path, (size_t)(slash - path));
    const json_t *known = json_object_get(l->by_folder, folder);
    if (known) {
        *ret_label = (int)json_integer_value(known);
        return OK;
    }
    const char *last = strrchr(folder, '/');
    const char *name = last ? last + 1 : folder;
    known = json_object_get(l->by_name, name);
    int index = known ? (int)json_integer_value(known) : add(l, name);
    struct label *label = &l->items[index];
    if (label->folder)
        return error_set(err, INVALID,
                         "folders '%s' and '%s' would both be the label '%s': give each its own name",
                         label->folder, folder, name);
    json_object_set_new_nocheck(l->by_folder, folder, json_integer(index));
    label->folder = TAKE(folder);
    *ret_label = index;
    return OK;
}

json_t *labels_json(const struct labels *l)
{
    json_t *names = json_array();
    for (int i = 0; i < l->n; i++) {
        json_t *name = json_string(l->items[i].name);
        json_array_append_new(names, name ? name : json_sprintf("label %d", i)); /* a name that is no UTF-8 */
    }
    return names;
}

int labels_side(const struct label *label, double training_share, double test_share)
{
    int64_t training = llround(training_share * 1e6), test = llround(test_share * 1e6);
    bool is_training = label->n_images[SIDE_TRAINING] * test <= label->n_images[SIDE_TEST] * training;
    return is_training ? SIDE_TRAINING : SIDE_TEST;
}
