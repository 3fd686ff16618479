/*
 * transforms.h - the same transforms for each kind of vector.
 */
#ifndef ET_WINOGRAD_TRANSFORMS_H
#define ET_WINOGRAD_TRANSFORMS_H

#include "engine/winograd/winograd.h"

extern const struct winograd_transforms winograd_any[WINOGRAD_KINDS], winograd_avx2[WINOGRAD_KINDS],
    winograd_avx512[WINOGRAD_KINDS];

#endif
