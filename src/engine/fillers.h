/*
 * fillers.h - first values of parameters (and of DummyData), by Caffe's
 * formulas: constant, uniform, gaussian (with sparse), positive_unitball,
 * xavier, msra, bilinear.
 */
#ifndef ET_FILLERS_H
#define ET_FILLERS_H

#include "engine/rng.h"
#include "netdef/netdef.h"

/* NULL or an empty type is constant 0.  Errors: INVALID for an unknown type or a shape that it cannot fill.
 */
enum status filler_check(const Caffe__FillerParameter *filler, const struct shape *shape, struct error *err);

/* Fills shape_count floats in plain order.  The filler was checked. */
void filler_fill(const Caffe__FillerParameter *filler, const struct shape *shape, struct rng *rng,
                 float *ret_values);

/* true when every fill gives the same values. */
bool filler_is_constant(const Caffe__FillerParameter *filler);

#endif
