/* filter.h - how many items a Filter layer passed on; its file says what follows from that. */
#ifndef ET_FILTER_H
#define ET_FILTER_H

#include "engine/layer.h"

extern const struct layer_ops layer_filter;

/* Of the last forward pass. */
int filter_n_passed(const struct layer *l);

#endif
