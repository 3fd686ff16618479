#include "engine/vectors/pooling.h"

#include "engine/vectors/kind.h"

const struct pooling_loops *pooling_loops(void)
{
    static const struct pooling_loops *const kinds[VECTORS_KINDS] = {
        [VECTORS_ANY] = &pooling_any,
#ifdef __x86_64__
        [VECTORS_AVX2] = &pooling_avx2,
#endif
    };
    return kinds[vectors_kind()];
}
