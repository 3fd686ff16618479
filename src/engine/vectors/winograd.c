#include "engine/vectors/winograd.h"

#include "engine/vectors/kind.h"

const struct winograd_transforms *winograd_transforms(int kernel, size_t height, size_t width,
                                                      bool may_be_coarse)
{
    static const struct winograd_transforms *const kinds[VECTORS_KINDS] = {
        [VECTORS_ANY] = winograd_any,
#ifdef __x86_64__
        [VECTORS_AVX2] = winograd_avx2,
        [VECTORS_AVX512] = winograd_avx512,
#endif
    };
    const struct winograd_transforms *all = kinds[vectors_kind()], *best = NULL;
    size_t fewest = 0;
    for (const struct winograd_transforms *t = all; t < all + WINOGRAD_KINDS; t++) {
        size_t outs = (size_t)t->outs, products = (size_t)(t->ins * t->ins);
        products *= (height + outs - 1) / outs * ((width + outs - 1) / outs);
        if (t->kernel == kernel && (may_be_coarse || t->ins <= WINOGRAD_FINE_POINTS) &&
            (!best || products < fewest)) {
            best = t;
            fewest = products;
        }
    }
    return best;
}
