/*
 * transforms.h - the same transforms for each kind of vector.
 */
#ifndef ET_WINOGRAD_TRANSFORMS_H
#define ET_WINOGRAD_TRANSFORMS_H

#include "engine/winograd/winograd.h"

/* Of kernels of 3 x 3, and of 5 x 5. */
extern const struct winograd_transforms winograd_any[2], winograd_avx2[2], winograd_avx512[2];

#endif
