/*
 * peak.c - the most that one thread can compute: GFLOP/s of fused multiply-adds
 * on registers, as wide as the processor has them.
 */
#include <stdio.h>
#include <time.h>

enum { ACCUMULATORS = 12, ROUNDS = 10 };
#define STEPS 20000000L

/* Twelve chains hide the latency of two units.  Returns what keeps the compiler from leaving all out. */
#define CHAINS(name, isa, width)                                                                             \
    __attribute__((target(isa), noinline)) static float name(long n)                                         \
    {                                                                                                        \
        typedef float vector __attribute__((vector_size(4 * (width))));                                      \
        vector sums[ACCUMULATORS], factor = {0}, more = {0};                                                 \
        factor += 0.999f;                                                                                    \
        more += 0.001f;                                                                                      \
        for (int i = 0; i < ACCUMULATORS; i++)                                                               \
            sums[i] = more * (float)i;                                                                       \
        for (; n > 0; n--) {                                                                                 \
            _Pragma("GCC unroll 12") for (int i = 0; i < ACCUMULATORS; i++) sums[i] =                        \
                sums[i] * factor + more;                                                                     \
        }                                                                                                    \
        float all = 0;                                                                                       \
        for (int i = 0; i < ACCUMULATORS; i++)                                                               \
            all += sums[i][0];                                                                               \
        return all;                                                                                          \
    }

CHAINS(with_avx512, "avx512f", 16)
CHAINS(with_avx2, "avx2,fma", 8)
CHAINS(with_sse, "sse2", 4)

int main(void)
{
    int width = __builtin_cpu_supports("avx512f") ? 16 : __builtin_cpu_supports("fma") ? 8 : 4;
    double best = 0;
    volatile float kept;
    for (int i = 0; i < ROUNDS; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        kept = (width == 16 ? with_avx512 : width == 8 ? with_avx2 : with_sse)(STEPS);
        clock_gettime(CLOCK_MONOTONIC, &to);
        double seconds = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
        double rate = 2.0 * width * ACCUMULATORS * (double)STEPS / seconds / 1e9;
        best = rate > best ? rate : best;
    }
    (void)kept;
    printf("%.1f\n", best);
    return 0;
}
