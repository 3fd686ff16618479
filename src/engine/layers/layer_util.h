/* layer_util.h - what several layers read of their settings and shapes. */
#ifndef ET_LAYER_UTIL_H
#define ET_LAYER_UTIL_H

#include "engine/caffe_log.h"
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

/*
 * Caffe's Power and Log write their slope over the gradient that came from
 * above before they multiply the two, when both lie in the same place.  Nets
 * that were trained so are trained so here.
 */
static inline void warn_of_gradient_in_place(const struct layer *l)
{
    if (l->phase == CAFFE__PHASE__TRAIN && l->def->propagate_down[0])
        caffe_log('W', "net.cpp:382",
                  "Layer %s works in place: its gradient is the square of its slope, as in Caffe, whatever "
                  "the loss; give its top a name of its own",
                  l->def->name);
}

#endif
