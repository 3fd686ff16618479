/* plain_convolution.h - a convolution over three axes, as the formula says, for tests to compare with. */
#ifndef ET_PLAIN_CONVOLUTION_H
#define ET_PLAIN_CONVOLUTION_H

#include <stdint.h>

struct plain_convolution {
    int n, in, out, group;
    int size[3], kernel[3], stride[3], pad[3], dilation[3];
    int top[3]; /* plain_convolution_size fills it in */
};

int64_t plain_volume(const int v[3]);
float *plain_zeros(int64_t n);
void plain_convolution_size(struct plain_convolution *c);

/* Adds to y (n,out,top), without bias; weights are (out,in/group,kernel). */
void plain_convolution_forward(const struct plain_convolution *c, const float *x, const float *w, float *y);
/* Adds to dx and dw. */
void plain_convolution_backward(const struct plain_convolution *c, const float *x, const float *w,
                                const float *dy, float *dx, float *dw);

#endif
