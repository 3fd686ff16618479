/*
 * convolution_winograd.h - Convolution by kernels of 3 x 3 and 5 x 5 that
 * move by one, by Winograd's algorithm (engine/vectors).  oneDNN has it for
 * 3 x 3 in blocks of 16 channels, without groups, on smaller tiles.
 *
 *   bottom -tile by tile-> n^2 left sides -matmul with the kernels'-> as many products -> top
 *
 * Each thread takes a range of all images' tiles, some at a time so that
 * they stay in its cache.  Each side lies in blocks of 16 channels, or with
 * channels last; the weights with the output channel last: (group,k,k,I,O).
 */
#ifndef ET_CONVOLUTION_WINOGRAD_H
#define ET_CONVOLUTION_WINOGRAD_H

#include "engine/param_layout.h"
#include "engine/vectors/winograd.h"

/* Images of one side of the convolution, cut into overlapping squares. */
struct winograd_images {
    size_t channels, height, width; /* channels of all groups */
    size_t group_channels;
    bool is_blocked;
    int square, pad[2]; /* pixels of a square's side; the first starts this much outside */
};

struct convolution_winograd {
    const struct winograd_transforms *transforms;
    struct winograd_images in, out;
    size_t n, group, rows, columns; /* images; of one: rows and columns of tiles */
    size_t tiles;                   /* that are done at a time */
    bool wants_weights, wants_bias, relu;
    bool is_bf16, top_is_bf16; /* bottoms and all gradients, and tops; else floats */
    int n_workers;
    struct winograd_worker *workers; /* for each thread */
    struct weights_copy weights;
    float *kernels;      /* transformed: (group,P,I,O), of P products */
    float *kernels_back; /* the same, (group,P,O,I); NULL: not needed */
    uint64_t version;
    bool shares_diff; /* the workers have one gradient of the kernels, not one each */
    struct weights_gradient weights_diff, bias_diff;
};

struct convolution_winograd_params {
    dnnl_dim_t n, in, out, group; /* channels of all groups */
    dnnl_dim_t kernel, size[2], out_size[2], pad[2];
    bool wants_data, wants_weights, wants_bias, relu;
    bool is_bf16, top_is_bf16; /* bottoms and all gradients, and tops */
};

/* Does it know such kernels, and is it faster than to multiply directly in f32. */
bool convolution_winograd_suits(const struct convolution_winograd_params *params);
/* Products of one image for each pair of channels; those of the direct way are the kernel's elements times
 * the outputs. */
dnnl_dim_t convolution_winograd_products(const struct convolution_winograd_params *params);
/* plain: Caffe's order of the weights. */
enum status convolution_winograd_plan(struct convolution_winograd *w,
                                      const struct convolution_winograd_params *params, struct layer *l,
                                      struct planner *p, const dnnl_memory_desc_t *plain, struct error *err);
/* Takes new weights, each output channel's multiplied by its factor (NULL: 1). */
void convolution_winograd_renew(struct convolution_winograd *w, struct layer *l, const float *factors);
/* bias, of the output channels, may be NULL. */
void convolution_winograd_forward(struct convolution_winograd *w, struct layer *l, const float *bias);
void convolution_winograd_backward(struct convolution_winograd *w, struct layer *l);
void convolution_winograd_release(struct convolution_winograd *w);

#endif
