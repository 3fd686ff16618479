#include "base/fault.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAULTS_MAX 16

struct fault {
    int n;
    struct {
        char name[48];
        unsigned long count, seen;
        bool is_error;
    } points[FAULTS_MAX];
};

struct fault *fault_armed;

static struct fault storage;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

bool fault_reached(const char *name)
{
    bool acts = false;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < storage.n; i++) {
        if (strcmp(storage.points[i].name, name) != 0 || ++storage.points[i].seen < storage.points[i].count)
            continue;
        if (!storage.points[i].is_error)
            _exit(137);
        acts = true;
    }
    pthread_mutex_unlock(&lock);
    return acts;
}

static enum status read_point(const char *text, struct fault *f, struct error *err)
{
    char count[10] = "", action[8] = "exit";
    if (f->n == FAULTS_MAX)
        return error_set(err, INVALID, "more than %d fault points", FAULTS_MAX);
    int fields = sscanf(text, "%47[^:]:%9[0-9]:%7s", f->points[f->n].name, count, action);
    f->points[f->n].count = strtoul(count, NULL, 10);
    bool is_error = strcmp(action, "error") == 0;
    if (fields < 2 || !f->points[f->n].count || (!is_error && strcmp(action, "exit") != 0))
        return error_set(err, INVALID, "fault point '%s' is not NAME:COUNT[:exit|error]", text);
    f->points[f->n].seen = 0;
    f->points[f->n++].is_error = is_error;
    return OK;
}

enum status fault_arm(const char *text, struct error *err)
{
    fault_armed = NULL;
    storage.n = 0;
    if (!text || !*text)
        return OK;
    CLEANUP(freep) char *copy = xstrdup(text);
    char *rest = copy;
    for (char *part = strsep(&rest, ","); part; part = strsep(&rest, ","))
        TRY(read_point(part, &storage, err));
    fault_armed = &storage;
    return OK;
}

__attribute__((constructor)) void fault_init(void)
{
    struct error err;
    if (fault_arm(getenv("ET_FAULT"), &err) != OK) {
        fprintf(stderr, "et: ET_FAULT: %s\n", err.message);
        _exit(2);
    }
}
