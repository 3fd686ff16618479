#include "engine/vectors/kind.h"

#include <oneapi/dnnl/dnnl.h>

enum vectors_kind vectors_kind(void)
{
#ifdef __x86_64__
    int isa = (int)dnnl_get_effective_cpu_isa();
    if ((isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core)
        return VECTORS_AVX512;
    if ((isa & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2 && __builtin_cpu_supports("fma"))
        return VECTORS_AVX2;
#endif
    return VECTORS_ANY;
}
