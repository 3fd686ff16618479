#include "worker/devices.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

static bool name_is_valid(const char *name)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_/.:";
    size_t n = strlen(name);
    return n && n < 100 && strspn(name, letters) == n;
}

static enum status add(struct devices *d, const char *name, struct error *err)
{
    if (!name_is_valid(name))
        return error_set(err, INVALID, "'%s' is no GPU: numbers or names are wanted, as 0,1", name);
    for (int i = 0; i < d->n; i++)
        if (!strcmp(d->names[i], name))
            return error_set(err, INVALID, "GPU '%s' is there twice", name);
    if (d->n == DEVICES_MAX)
        return error_set(err, INVALID, "more than %d GPUs", DEVICES_MAX);
    d->names[d->n++] = xstrdup(name);
    return OK;
}

static enum status add_all(struct devices *d, const char *list, struct error *err)
{
    CLEANUP(freep) char *copy = xstrdup(list);
    char *rest = *copy ? copy : NULL;
    for (char *name; (name = strsep(&rest, ","));)
        TRY(add(d, name, err));
    return OK;
}

static enum status add_found(struct devices *d, struct error *err)
{
    enum status status = OK;
    glob_t found = {0};
    if (glob("/dev/nvidia[0-9]*", 0, NULL, &found))
        return OK;
    for (size_t i = 0; i < found.gl_pathc && status == OK; i++)
        status = add(d, found.gl_pathv[i] + strlen("/dev/nvidia"), err);
    globfree(&found);
    return status;
}

enum status devices_read(const char *list, struct devices *ret_devices, struct error *err)
{
    struct devices d = {0};
    const char *names = list ? list : getenv("CUDA_VISIBLE_DEVICES");
    enum status status = names ? add_all(&d, names, err) : add_found(&d, err);
    if (status == OK)
        *ret_devices = d;
    else
        devices_release(&d);
    return status;
}

void devices_release(struct devices *d)
{
    for (int i = 0; i < d->n; i++)
        free(d->names[i]);
    *d = (struct devices){0};
}

int devices_free(const struct devices *d)
{
    int n = 0;
    for (int i = 0; i < d->n; i++)
        n += !d->taken[i];
    return n;
}

char *devices_take(struct devices *d, int n)
{
    if (n > devices_free(d))
        return NULL;
    char *names = xstrdup("");
    for (int i = 0; n && i < d->n; i++) {
        if (d->taken[i])
            continue;
        CLEANUP(freep) char *before = names;
        names = xasprintf("%s%s%s", before, *before ? "," : "", d->names[i]);
        d->taken[i] = true;
        n--;
    }
    return names;
}

void devices_give(struct devices *d, const char *taken)
{
    CLEANUP(freep) char *copy = xstrdup(taken ? taken : "");
    char *rest = copy;
    for (char *name; (name = strsep(&rest, ","));)
        for (int i = 0; i < d->n; i++)
            if (!strcmp(d->names[i], name))
                d->taken[i] = false;
}
