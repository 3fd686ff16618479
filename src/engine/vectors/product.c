#include "engine/vectors/product.h"

#include "engine/vectors/kind.h"

product_multiply *product_loops(void)
{
    static product_multiply *const kinds[VECTORS_KINDS] = {
        [VECTORS_ANY] = product_any,
#ifdef __x86_64__
        [VECTORS_AVX2] = product_avx2,
#endif
    };
    return kinds[vectors_kind()];
}
