/* sliding.h - which element of an image a kernel element sees at each of its positions; any number of axes.
 */
#ifndef ET_SLIDING_H
#define ET_SLIDING_H

#include "netdef/netdef.h"

struct sliding_axis {
    int size, positions, kernel, stride, pad, dilation;
};

struct sliding {
    size_t plane;         /* elements of the image */
    size_t positions;     /* of the kernel on it */
    size_t kernel_places; /* elements of the kernel */
    int n_axes;
    struct sliding_axis axes[SHAPE_MAX_AXES];
};

/* image and positions have their spatial axes after the channel axis. */
void sliding_init(struct sliding *s, const Caffe__ConvolutionParameter *param, const struct shape *image,
                  const struct shape *positions, int channel_axis);

/* map (kernel_places, positions): index in the image's plane, or -1 for padding. */
void sliding_map(const struct sliding *s, int *map);

#endif
