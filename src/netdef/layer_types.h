/*
 * layer_types.h - the table of layer types: one row a type, and what its row
 * knows: counts of bottoms and tops, and the function that infers its shapes.
 */
#ifndef ET_NETDEF_LAYER_TYPES_H
#define ET_NETDEF_LAYER_TYPES_H

#include "netdef/netdef.h"

enum { LAYER_PARAMS_MAX = 8 };

/*
 * One layer while its shapes are inferred.  Tops are unknown at first; what
 * the function leaves so stays unknown.  Bottoms may be unknown: parameters
 * are declared all the same, with unknown shapes where they depend on them.
 */
struct shaping {
    const Caffe__LayerParameter *param;
    Caffe__Phase phase;
    const struct source_shape *source; /* NULL: the source is not known */
    int n_bottoms;
    const struct shape *const *bottoms;
    int n_tops;
    struct shape *tops;
    int n_params;
    struct {
        struct shape shape;
        const Caffe__FillerParameter *filler;
    } params[LAYER_PARAMS_MAX];
    int64_t operations;
    struct error *err;
};

struct layer_row {
    struct layer_type type;
    enum status (*shape)(struct shaping *s);
    bool equal_counts;   /* as many tops as bottoms */
    bool one_top_less;   /* one top less than bottoms */
    bool in_place;       /* a top may have the name of its bottom */
    int unforced_bottom; /* force_backward does not reach this bottom, from 1; 0: reaches all */
    int no_gradient;     /* this bottom, from 1, can have none; -1: all of them; -2: the last; 0: all can */
};

/* Any counts, shapes unknown: stands in for a type that cannot be used, so that the rest can be looked at. */
extern const struct layer_row layer_row_unknown;

/* UNSUPPORTED for Python layers; INVALID with the nearest name for unknown types. */
enum status layer_row_find(const char *type, const struct layer_row **ret_row, struct error *err);

static inline const struct layer_row *layer_row_of(const struct layer_type *type)
{
    return (const struct layer_row *)type; /* type is its first member */
}

#endif
