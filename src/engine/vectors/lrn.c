#include "engine/vectors/lrn.h"

#include "engine/vectors/kind.h"

const struct lrn_loops *lrn_loops(void)
{
    static const struct lrn_loops *const kinds[VECTORS_KINDS] = {
        [VECTORS_ANY] = &lrn_any,
#ifdef __x86_64__
        [VECTORS_AVX2] = &lrn_avx2,
        [VECTORS_AVX512] = &lrn_avx512,
#endif
    };
    return kinds[vectors_kind()];
}

size_t lrn_row_floats(const struct lrn_blobs *b)
{
    enum { LANES_MAX = 16 };
    return b->channels + (size_t)b->size + LANES_MAX;
}

size_t lrn_scratch_floats(const struct lrn_blobs *b)
{
    return 3 * LRN_PIXELS * lrn_row_floats(b);
}
