/*
 * memory_bound.h - what training needs at the very least, known without a plan.
 *
 *   parameters (values, and gradients and histories of those that learn)
 *   + what layers with learned matrices and kernels read
 *
 * Such a layer needs its bottoms again for the gradient of its parameters, so
 * at the end of the forward pass they all lie in memory at once.  A lower
 * bound: a machine with less cannot train the net; one with more may still be
 * too small.  The figure itself needs a plan (net_memory of the engine).
 * What is of unknown shape counts nothing.
 */
#ifndef ET_NETDEF_MEMORY_BOUND_H
#define ET_NETDEF_MEMORY_BOUND_H

#include "netdef/netdef.h"

/* n_histories: values that the solver keeps for each parameter (SGD 1, Adam 2). */
int64_t netdef_training_bytes_at_least(const struct netdef *def, int n_histories);

#endif
