/* processor.h - what this processor could run, whatever oneDNN is held to. */
#ifndef ET_PROCESSOR_H
#define ET_PROCESSOR_H

#include <stdbool.h>

static inline bool has_avx2(void)
{
#ifdef __x86_64__
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

static inline bool has_avx512(void)
{
#ifdef __x86_64__
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq");
#else
    return false;
#endif
}

#endif
