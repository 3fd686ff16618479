#include "plain_convolution.h"

#include "base/base.h"

int64_t plain_volume(const int v[3])
{
    return (int64_t)v[0] * v[1] * v[2];
}

float *plain_zeros(int64_t n)
{
    return xcalloc((size_t)n + 1, sizeof(float));
}

void plain_convolution_size(struct plain_convolution *c)
{
    for (int i = 0; i < 3; i++)
        c->top[i] =
            (c->size[i] + 2 * c->pad[i] - (c->dilation[i] * (c->kernel[i] - 1) + 1)) / c->stride[i] + 1;
}

/* The element of a plane that place q of the kernel sees at position p; -1 in the padding. */
static int64_t seen(const struct plain_convolution *c, int64_t p, int64_t q)
{
    const int at[] = {(int)(p / (c->top[1] * c->top[2])), (int)(p / c->top[2] % c->top[1]),
                      (int)(p % c->top[2])};
    const int of[] = {(int)(q / (c->kernel[1] * c->kernel[2])), (int)(q / c->kernel[2] % c->kernel[1]),
                      (int)(q % c->kernel[2])};
    int64_t element = 0;
    for (int d = 0; d < 3; d++) {
        int s = at[d] * c->stride[d] - c->pad[d] + of[d] * c->dilation[d];
        if (s < 0 || s >= c->size[d])
            return -1;
        element = element * c->size[d] + s;
    }
    return element;
}

/* Visits every product x[from] * w[weight] -> y[to] once. */
static void visit(const struct plain_convolution *c, const float *x, const float *w, float *y,
                  const float *dy, float *dx, float *dw)
{
    int in = c->in / c->group, out = c->out / c->group;
    int64_t xs = plain_volume(c->size), ws = plain_volume(c->kernel), ys = plain_volume(c->top);
    for (int64_t p = 0; p < ys; p++)
        for (int64_t q = 0; q < ws; q++) {
            int64_t element = seen(c, p, q);
            if (element < 0)
                continue;
            for (int n = 0; n < c->n; n++)
                for (int o = 0; o < c->out; o++)
                    for (int i = 0; i < in; i++) {
                        int64_t from = ((int64_t)n * c->in + o / out * in + i) * xs + element;
                        int64_t weight = ((int64_t)o * in + i) * ws + q;
                        int64_t to = ((int64_t)n * c->out + o) * ys + p;
                        if (y) {
                            y[to] += x[from] * w[weight];
                        } else {
                            dx[from] += dy[to] * w[weight];
                            dw[weight] += dy[to] * x[from];
                        }
                    }
        }
}

void plain_convolution_forward(const struct plain_convolution *c, const float *x, const float *w, float *y)
{
    visit(c, x, w, y, NULL, NULL, NULL);
}

void plain_convolution_backward(const struct plain_convolution *c, const float *x, const float *w,
                                const float *dy, float *dx, float *dw)
{
    visit(c, x, w, NULL, dy, dx, dw);
}
