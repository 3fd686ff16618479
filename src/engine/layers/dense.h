/*
 * dense.h - a matrix product by oneDNN, with its two gradients:
 *
 *   y (M,N) = x (M,K) x weights' (N,K) + bias (N)
 *
 * One per weight matrix of a layer; InnerProduct is one, a recurrent layer
 * has several.  Fill in the first members, then dense_plan, then run.
 */
#ifndef ET_DENSE_H
#define ET_DENSE_H

#include "engine/param_layout.h"

struct dense {
    dnnl_dim_t m, k, n;
    int weights, bias; /* which of the layer's parameters; bias -1: none */
    bool transpose;    /* weights are (K,N) */
    bool wants_forward, wants_data, wants_weights, wants_bias;
    bool is_bf16;   /* x, dx and dy are bf16, else floats; dense_plan may decide for floats */
    bool y_is_bf16; /* only then */

    struct kernel forward, backward_data, backward_weights;
    struct weights_copy forward_weights, data_weights;
    bool one_copy; /* forward_weights serve both */
    struct weights_gradient weights_diff, bias_diff;
};

/*
 * x_lies: how x is stored when it is a blob of 3 to 5 axes whose first is M
 * and that is not plain, else NULL.  It is read so, the weights ordered to
 * match, where oneDNN has a kernel of its own for that: then *ret_x is
 * x_lies; otherwise *ret_x is not written and x and its gradient are rows.
 * post_ops: what forward does to its result; may be NULL.  Errors: UNSUPPORTED.
 */
enum status dense_plan(struct dense *d, struct layer *l, struct planner *p, const dnnl_memory_desc_t *x_lies,
                       const_dnnl_post_ops_t post_ops, dnnl_memory_desc_t *ret_x, struct error *err);
void dense_release(struct dense *d);

void dense_forward(struct dense *d, struct layer *l, const void *x, void *y);
/* Adds to the gradients of the weights and the bias, as far as they are wanted. */
void dense_backward_weights(struct dense *d, struct layer *l, const void *x, const void *dy);
/* Overwrites dx. */
void dense_backward_data(struct dense *d, struct layer *l, const void *dy, void *dx);

#endif
