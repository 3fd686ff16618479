#include "engine/hdf5_guard.h"

#include <hdf5.h>
#include <pthread.h>
#include <stddef.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

struct hdf5_guard hdf5_enter(void)
{
    pthread_mutex_lock(&mutex);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return (struct hdf5_guard){0};
}

void hdf5_leave(struct hdf5_guard *guard)
{
    (void)guard;
    pthread_mutex_unlock(&mutex);
}
