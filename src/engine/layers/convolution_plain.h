/*
 * convolution_plain.h - Convolution and Deconvolution over more spatial axes
 * than oneDNN has: plain loops over what each kernel element sees.
 *
 * The kernel slides over the image, which is the bottom of a Convolution and
 * the top of a Deconvolution; the other side has a value for each position.
 */
#ifndef ET_CONVOLUTION_PLAIN_H
#define ET_CONVOLUTION_PLAIN_H

#include "engine/layers/sliding.h"
#include "engine/plan.h"

struct convolution_plain {
    struct sliding kernel;
    size_t n, group;                           /* items; groups of channels */
    size_t image_channels, positions_channels; /* of one group */
    bool transposed;                           /* Deconvolution */
    int *map;                                  /* sliding_map */
};

void convolution_plain_plan(struct convolution_plain *s, struct layer *l, struct planner *p, bool transposed);
void convolution_plain_forward(const struct convolution_plain *s, struct layer *l);
void convolution_plain_backward(const struct convolution_plain *s, struct layer *l);

#endif
