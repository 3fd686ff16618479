/*
 * convolution_gradient.h - the gradient of the kernels and the bias of a
 * Convolution over images of few channels, for which oneDNN without avx512
 * takes two to four times as long as the multiplications need.
 *
 * All blobs lie channels last, so that what a row of the kernel sees of an
 * output lies side by side, and what it sees of a row of outputs is a matrix;
 * that is multiplied with the outputs' gradient (engine/vectors/product.h).
 * The gradient is written with the output channel last: (k,k,I,O).
 */
#ifndef ET_CONVOLUTION_GRADIENT_H
#define ET_CONVOLUTION_GRADIENT_H

#include "engine/plan.h"
#include "engine/vectors/product.h"

struct convolution_gradient {
    size_t n, in, out; /* images, and channels of each side */
    size_t size[2], out_size[2], kernel[2], stride[2], pad[2];

    product_multiply *multiply;
    int n_workers;
};

/* Is it done so, of images of so many channels. */
bool convolution_gradient_suits(dnnl_dim_t in);
/* The members up to pad are set. */
void convolution_gradient_plan(struct convolution_gradient *g, struct planner *p);
/* Overwrites dw, and db unless it is NULL. */
void convolution_gradient_run(const struct convolution_gradient *g, void *scratch, const float *x,
                              const float *dy, float *dw, float *db);

#endif
