/*
 * bf16.h - loops over bf16 values, the upper halves of floats.
 *
 * For layers that run on blobs of a net of precision bf16 (precision.h),
 * which exists only where the processor has the instructions that BF16_CODE
 * lets the compiler use.
 */
#ifndef ET_BF16_H
#define ET_BF16_H

#include <stdint.h>

#include "engine/elementwise.h"
#include "engine/layer.h"

typedef uint16_t bf16;

/* Before a function that has such loops. */
#if defined(__x86_64__)
#define BF16_CODE __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#else
#define BF16_CODE
#endif

static inline float bf16_to_float(bf16 value)
{
    union {
        uint32_t bits;
        float value;
    } u = {.bits = (uint32_t)value << 16};
    return u.value;
}

/* To the nearest, of two the even one, as oneDNN rounds; NaN stays NaN. */
static inline bf16 bf16_of(float value)
{
    union {
        float value;
        uint32_t bits;
    } u = {.value = value};
    uint32_t rounded = u.bits + 0x7fff + (u.bits >> 16 & 1);
    uint32_t quiet = u.bits | 0x400000;
    return (bf16)((value == value ? rounded : quiet) >> 16);
}

static inline bool view_is_bf16(const struct view *view)
{
    return view->desc.data_type == dnnl_bf16;
}

/* The elements of a view in bf16. */
static inline bf16 *bf16_data(const struct view *view)
{
    void *data = view->data;
    return data;
}

static inline bf16 *bf16_diff(const struct view *view)
{
    void *diff = view->diff;
    return diff;
}

#endif
