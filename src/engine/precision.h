/*
 * precision.h - the numbers that a net computes with.
 *
 * bf16 is the upper half of an f32: the same range, 8 bits of mantissa.  A
 * bf16 net keeps blobs between layers that have kernels for it, and copies of
 * weights, in bf16; parameters, their gradients, statistics, losses and
 * updates stay f32, and so do all files.
 */
#ifndef ET_PRECISION_H
#define ET_PRECISION_H

#include "base/base.h"

enum precision { PRECISION_F32, PRECISION_BF16 };

/* "f32" or "bf16"; false, writing nothing, for any other text. */
bool precision_read(const char *text, enum precision *ret_precision);

/*
 * Errors: UNSUPPORTED where the processor has no bf16 instructions, or oneDNN
 * is held to fewer than it has: it would emulate them, slower than f32.
 */
enum status precision_check(enum precision precision, struct error *err);

/* Does the processor multiply matrices of bf16 with AMX: 16 times the products of f32 in the same time. */
bool precision_has_amx(void);

#endif
