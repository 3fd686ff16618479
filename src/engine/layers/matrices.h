/*
 * matrices.h - many products of matrices of one shape, on one thread: by loops
 * of our own (engine/vectors/product.h) where the matrices are small, which
 * for oneDNN's gemm are too small to be worth its preparations; else by oneDNN.
 */
#ifndef ET_MATRICES_H
#define ET_MATRICES_H

#include "engine/kernel.h"
#include "engine/vectors/product.h"

struct matrices {
    product_multiply *loops; /* NULL: oneDNN's kernel */
    size_t n;                /* products; floats from one matrix to the next: */
    size_t a_step, b_step, c_step;
    struct product shape;
    struct kernel kernel;
};

/* Are matrices of so many rows and columns multiplied by loops of our own. */
bool matrices_are_small(size_t rows, size_t columns);
/*
 * c = a b, or c += a b, of floats (products,rows,columns); where they are
 * small, the columns of b and c lie side by side.  Errors: FAILED.
 */
enum status matrices_plan(struct matrices *m, const dnnl_memory_desc_t *a, const dnnl_memory_desc_t *b,
                          const dnnl_memory_desc_t *c, bool add, bool are_small, struct error *err);
/* scratch: m->kernel.scratch_bytes. */
void matrices_multiply(struct matrices *m, void *scratch, const float *a, const float *b, float *c);
void matrices_release(struct matrices *m);

#endif
