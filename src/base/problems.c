#include "base/problems.h"

#include <stdlib.h>

void problems_release(struct problems *p)
{
    free(p->kept);
    *p = (struct problems){0};
}

enum status problems_note(struct problems *p, enum status status, const struct error *err)
{
    if (status == OK || !p)
        return status;
    if (p->n < PROBLEMS_MAX) {
        p->kept = xrealloc(p->kept, ((size_t)p->n + 1) * sizeof(*p->kept));
        p->kept[p->n] = *err;
    }
    p->n++;
    return OK;
}
