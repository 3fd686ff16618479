#include "worker/kinds.h"

#include <string.h>

static const struct job_kind kinds[] = {
    {"classify", job_run_classify, true}, {"fetch", job_run_fetch, false}, {"order", job_run_order, true},
    {"script", job_run_script, true},     {"split", job_run_split, false}, {"train", job_run_train, true},
};

const struct job_kind *job_kind_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (!strcmp(kinds[i].name, name))
            return &kinds[i];
    return NULL;
}
