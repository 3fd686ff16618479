/* layer_util.h - what several layers read of their settings and shapes. */
#ifndef ET_LAYER_UTIL_H
#define ET_LAYER_UTIL_H

#include "engine/layer.h"

/*
 * The layer's own settings, or their defaults when the net gives none:
 *   const Caffe__PowerParameter *p = LAYER_PARAM(l, Caffe__PowerParameter, power_param,
 * CAFFE__POWER_PARAMETER__INIT);
 */
#define LAYER_PARAM(l, Type, field, INIT)                                                                    \
    ({                                                                                                       \
        static const Type otherwise_ = INIT;                                                                 \
        const Type *given_ = (l)->def->param->field;                                                         \
        given_ ? given_ : &otherwise_;                                                                       \
    })

/* A shape as (outer, n, inner) around one axis: element (o, k, i) is at (o * n + k) * inner + i. */
struct around {
    size_t outer, n, inner;
};

static inline struct around shape_around(const struct shape *s, int axis)
{
    return (struct around){
        .outer = (size_t)shape_count_range(s, 0, axis),
        .n = (size_t)s->dim[axis],
        .inner = (size_t)shape_count_range(s, axis + 1, s->n_axes),
    };
}

#endif
