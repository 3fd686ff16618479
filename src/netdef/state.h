/*
 * state.h - in which state a net is, by Caffe's rules: the phase's default,
 * then the net's own `state`, then the solver's train_state or test_state,
 * then --level and --stage of the command line.
 */
#ifndef ET_NETDEF_STATE_H
#define ET_NETDEF_STATE_H

#include "netdef/netdef.h"

/* Stages are lent by what was merged. */
struct net_state {
    Caffe__Phase phase;
    int level;
    const char **stages;
    int n_stages;
};

void net_state_release(struct net_state *s);
/* Phase and level of `with` win, where it has them; stages are added.  with may be NULL. */
void net_state_merge(struct net_state *s, const Caffe__NetState *with);
void net_state_add_stages(struct net_state *s, const char *const *stages, size_t n);

/* The state as netdef_create takes it; lent by s. */
struct netdef_options net_state_options(const struct net_state *s);

#endif
