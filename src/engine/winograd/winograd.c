#include "engine/winograd/winograd.h"

#include <oneapi/dnnl/dnnl.h>

#include "engine/winograd/transforms.h"

/* For the vectors of this processor, as far as oneDNN is allowed to use them. */
static const struct winograd_transforms *for_this_processor(void)
{
#ifdef __x86_64__
    int isa = (int)dnnl_get_effective_cpu_isa();
    if ((isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core)
        return winograd_avx512;
    if ((isa & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2 && __builtin_cpu_supports("fma"))
        return winograd_avx2;
#endif
    return winograd_any;
}

const struct winograd_transforms *winograd_transforms(int kernel, size_t height, size_t width)
{
    const struct winograd_transforms *all = for_this_processor(), *best = NULL;
    size_t fewest = 0;
    for (const struct winograd_transforms *t = all; t < all + WINOGRAD_KINDS; t++) {
        size_t outs = (size_t)t->outs, products = (size_t)(t->ins * t->ins);
        products *= (height + outs - 1) / outs * ((width + outs - 1) / outs);
        if (t->kernel == kernel && (!best || products < fewest)) {
            best = t;
            fewest = products;
        }
    }
    return best;
}
