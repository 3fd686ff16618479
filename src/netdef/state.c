#include "netdef/state.h"

#include <stdlib.h>

void net_state_release(struct net_state *s)
{
    free(s->stages);
    *s = (struct net_state){0};
}

void net_state_add_stages(struct net_state *s, const char *const *stages, size_t n)
{
    s->stages = xrealloc(s->stages, ((size_t)s->n_stages + n + 1) * sizeof(*s->stages));
    for (size_t i = 0; i < n; i++)
        s->stages[s->n_stages++] = stages[i];
}

void net_state_merge(struct net_state *s, const Caffe__NetState *with)
{
    if (!with)
        return;
    if (with->has_phase)
        s->phase = with->phase;
    if (with->has_level)
        s->level = with->level;
    net_state_add_stages(s, (const char *const *)with->stage, with->n_stage);
}

struct netdef_options net_state_options(const struct net_state *s)
{
    return (struct netdef_options){
        .phase = s->phase,
        .level = s->level,
        .n_stages = s->n_stages,
        .stages = s->stages,
    };
}
