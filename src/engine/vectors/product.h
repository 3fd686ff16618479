/*
 * product.h - multiplication of small matrices, as they lie:
 *
 *   c (m,n) = a (m,k) b (k,n), or c += a b
 *
 * Nothing is copied into another order first, which for matrices that fit the
 * caches takes as long as the multiplication.
 */
#ifndef ET_PRODUCT_H
#define ET_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>

/* Floats from one row, or column, to the next; columns of b and c lie side by side. */
struct product {
    const float *a, *b;
    float *c;
    size_t m, n, k;
    size_t a_row, a_column, b_row, c_row;
    bool add; /* to what c holds */
};

typedef void product_multiply(const struct product *p);

/* For kinds of vectors (kind.h). */
extern product_multiply product_any, product_avx2;

/* For this processor; NULL with avx512, where oneDNN's kernels are good. */
product_multiply *product_loops(void);

#endif
