/*
 * devices.h - the GPUs of this machine, each given to one job at a time.
 *
 * They are known by what CUDA_VISIBLE_DEVICES would call them: numbers, or
 * names such as GPU-6d1f....  Not locked: its owner does that.
 */
#ifndef ET_DEVICES_H
#define ET_DEVICES_H

#include "base/base.h"

#define DEVICES_MAX 64

struct devices {
    int n;
    char *names[DEVICES_MAX];
    bool taken[DEVICES_MAX];
};

/*
 * "0,1,3"; NULL: CUDA_VISIBLE_DEVICES where that is set, else one for each /dev/nvidia[0-9]*.
 * Errors: INVALID.
 */
enum status devices_read(const char *list, struct devices *ret_devices, struct error *err);
void devices_release(struct devices *d);

int devices_free(const struct devices *d);
/* Takes n of them: their names, with commas between, for the caller to free.  NULL: there are not so many. */
char *devices_take(struct devices *d, int n);
/* Gives back what devices_take returned; NULL is none. */
void devices_give(struct devices *d, const char *taken);

#endif
