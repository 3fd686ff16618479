/* processor.h - what this processor could run, whatever oneDNN is held to. */
#ifndef ET_PROCESSOR_H
#define ET_PROCESSOR_H

#include <stdbool.h>

#ifdef __x86_64__
static inline bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static inline bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq");
}
#endif

#endif
