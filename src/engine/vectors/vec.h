/*
 * vec.h - vectors of VECTORS_LANES floats, for files that are compiled once
 * for each kind of vector (VECTORS_KIND); only those include it.
 */
#ifndef ET_VEC_H
#define ET_VEC_H

#include <stddef.h>
#include <stdint.h>
#if VECTORS_LANES > 4
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

/* name_kind */
#define VECTORS_NAME(name)         VECTORS_JOIN(name, VECTORS_KIND)
#define VECTORS_JOIN(name, kind)   VECTORS_JOINED(name, kind)
#define VECTORS_JOINED(name, kind) name##_##kind

enum { LANES = VECTORS_LANES };

typedef float vec __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
typedef int mask __attribute__((vector_size(LANES * sizeof(int))));

/* The first n lanes, in memory; the others are read as 0. */
#if VECTORS_LANES == 16
INLINE __mmask16 first_of_16(size_t n)
{
    return (__mmask16)((1U << n) - 1);
}

INLINE vec read_some(const float *from, size_t n)
{
    return (vec)_mm512_maskz_loadu_ps(first_of_16(n), from);
}

INLINE void write_some(float *to, vec v, size_t n)
{
    _mm512_mask_storeu_ps(to, first_of_16(n), (__m512)v);
}
#elif VECTORS_LANES == 8
INLINE __m256i first_of_8(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE vec read_some(const float *from, size_t n)
{
    return (vec)_mm256_maskload_ps(from, first_of_8(n));
}

/* In pieces: a store with a mask takes AMD's processors without avx512 ten times as long as a whole one. */
INLINE void write_some(float *to, vec v, size_t n)
{
    __m128 part = _mm256_castps256_ps128((__m256)v);
    if (n & 4) {
        _mm_storeu_ps(to, part);
        part = _mm256_extractf128_ps((__m256)v, 1);
        to += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)to, part);
        part = _mm_movehl_ps(part, part);
        to += 2;
    }
    if (n & 1)
        _mm_store_ss(to, part);
}
#else
INLINE vec read_some(const float *from, size_t n)
{
    vec v = {0};
    for (size_t i = 0; i < n; i++)
        v[i] = from[i];
    return v;
}

INLINE void write_some(float *to, vec v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = v[i];
}
#endif

INLINE vec read(const float *from, size_t n)
{
    return n == LANES ? *(const vec *)from : read_some(from, n);
}

INLINE void write(float *to, vec v, size_t n)
{
    if (n == LANES)
        *(vec *)to = v;
    else
        write_some(to, v, n);
}

/* ---- bf16, the upper halves of floats ---- */

#if VECTORS_LANES == 16
INLINE vec read_bf16(const uint16_t *from, size_t n)
{
    __m256i upper = n == LANES ? _mm256_loadu_epi16(from) : _mm256_maskz_loadu_epi16(first_of_16(n), from);
    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(upper), 16);
}

/*
 * To the nearest, of two the even one; NaN stays NaN.  As oneDNN, with an
 * instruction of avx512_bf16: nets of precision bf16 are only where it is.
 */
INLINE void write_bf16(uint16_t *to, vec v, size_t n)
{
    __m256i upper = (__m256i)_mm512_cvtneps_pbh((__m512)v);
    if (n == LANES)
        _mm256_storeu_epi16(to, upper);
    else
        _mm256_mask_storeu_epi16(to, first_of_16(n), upper);
}
#else
typedef uint16_t halves __attribute__((vector_size(LANES * sizeof(uint16_t)), aligned(2), may_alias));
typedef uint32_t bits __attribute__((vector_size(LANES * sizeof(uint32_t))));

INLINE vec read_bf16(const uint16_t *from, size_t n)
{
    halves upper = {0};
    if (n == LANES)
        upper = *(const halves *)from;
    else
        for (size_t i = 0; i < n; i++)
            upper[i] = from[i];
    return (vec)(__builtin_convertvector(upper, bits) << 16);
}

/* To the nearest, of two the even one; NaN stays NaN. */
INLINE void write_bf16(uint16_t *to, vec v, size_t n)
{
    bits b = (bits)v, rounded = b + 0x7fff + (b >> 16 & 1), quiet = b | 0x400000;
    bits is_number = (bits)(v == v);
    halves upper = __builtin_convertvector(((rounded & is_number) | (quiet & ~is_number)) >> 16, halves);
    if (n == LANES)
        *(halves *)to = upper;
    else
        for (size_t i = 0; i < n; i++)
            to[i] = upper[i];
}
#endif

/* Number i and those behind it, of floats or bf16. */
INLINE vec read_at(const void *from, int is_bf16, ptrdiff_t i, size_t n)
{
    return is_bf16 ? read_bf16((const uint16_t *)from + i, n) : read((const float *)from + i, n);
}

INLINE void write_at(void *to, int is_bf16, ptrdiff_t i, vec v, size_t n)
{
    if (is_bf16)
        write_bf16((uint16_t *)to + i, v, n);
    else
        write((float *)to + i, v, n);
}

/* Number i will be read, or written, soon. */
INLINE void ask_at(const void *at, int is_bf16, ptrdiff_t i)
{
    __builtin_prefetch((const char *)at + i * (ptrdiff_t)(is_bf16 ? sizeof(uint16_t) : sizeof(float)));
}

/* ---- arithmetic ---- */

INLINE vec square_root(vec v)
{
#if VECTORS_LANES == 16
    return (vec)_mm512_sqrt_ps((__m512)v);
#elif VECTORS_LANES == 8
    return (vec)_mm256_sqrt_ps((__m256)v);
#else
    for (int i = 0; i < LANES; i++)
        v[i] = __builtin_sqrtf(v[i]);
    return v;
#endif
}

/* With avx512 to 14 bits, which bf16 does not tell from all. */
INLINE vec about_one_over_root(vec v)
{
#if VECTORS_LANES == 16
    return (vec)_mm512_rsqrt14_ps((__m512)v);
#else
    return 1 / square_root(v);
#endif
}

#endif
