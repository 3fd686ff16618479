/*
 * loss.h - labels, and what a loss is divided by.
 */
#ifndef ET_LOSS_H
#define ET_LOSS_H

#include <math.h>

#include "netdef/netdef.h"

/* ignore_label, when there is one. */
struct ignored {
    bool has_label;
    int label;
};

static inline bool is_ignored(struct ignored ignored, float label)
{
    return ignored.has_label && (int)label == ignored.label;
}

/* A label as an index of n classes; INVALID when it is none. */
static inline enum status label_read(float value, size_t n, int *ret_label, struct error *err)
{
    if (!(value > -1 && value < (float)n))
        return error_set(err, INVALID, "label %g is none of the %zu classes (0 to %zu)", value, n, n - 1);
    *ret_label = (int)value;
    return OK;
}

/* The mode of loss_param: normalization, else normalize (true: VALID, false: BATCH_SIZE), else the layer's
 * own. */
static inline Caffe__LossParameter__NormalizationMode
loss_normalization(const Caffe__LossParameter *p, Caffe__LossParameter__NormalizationMode otherwise)
{
    if (p && p->has_normalization)
        return p->normalization;
    if (p && p->has_normalize)
        return p->normalize ? CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__VALID
                            : CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__BATCH_SIZE;
    return otherwise;
}

/* At least 1: a batch without a valid label has loss 0, not NaN. */
static inline double loss_divisor(Caffe__LossParameter__NormalizationMode mode, size_t outer, size_t inner,
                                  size_t n_valid)
{
    double by = 1;
    if (mode == CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__FULL)
        by = (double)outer * (double)inner;
    else if (mode == CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__VALID)
        by = (double)n_valid;
    else if (mode == CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__BATCH_SIZE)
        by = (double)outer;
    return by > 1 ? by : 1;
}

/* Items of a batch: the first axis, 1 for a scalar. */
static inline size_t batch_of(const struct shape *s)
{
    return s->n_axes > 0 ? (size_t)s->dim[0] : 1;
}

#endif
