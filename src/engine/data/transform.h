/*
 * transform.h - Caffe's transform_param: crop, mirror, minus mean, times scale.
 *
 *   out (C,Ho,Wo) = (sample (C,H,W) at the crop - mean at the crop) * scale
 *
 * TRAIN crops at a random place, TEST in the middle (an odd remainder rounds
 * down).  mirror: true flips at random in both phases, as Caffe does.
 */
#ifndef ET_TRANSFORM_H
#define ET_TRANSFORM_H

#include "engine/data/image.h"
#include "engine/rng.h"
#include "netdef/netdef.h"

struct transform;

/* One image before its transform: bytes or floats (the other is NULL). */
struct sample {
    int channels, height, width;
    const uint8_t *bytes;
    const float *floats;
    bool interleaved; /* HWC; otherwise CHW */
};

struct sample image_sample(const struct image *image);

/*
 * param may be NULL (no transform).  A relative mean_file starts at folder
 * (NULL: the current folder).
 * Errors: NOT_FOUND or INVALID for the mean file; INVALID when mean_file and
 * mean_value are both given.
 */
enum status transform_create(const Caffe__TransformationParameter *param, Caffe__Phase phase,
                             const char *folder, struct transform **ret_transform, struct error *err);
void transform_free(struct transform *t);
void transform_freep(struct transform **t);

/*
 * Shape (batch,C,Ho,Wo) of what transform_apply makes of such samples; also
 * checks them against crop, mean file and mean values.
 * Errors: INVALID with both sizes.
 */
enum status transform_shape(const struct transform *t, const struct sample *sample, uint32_t batch,
                            struct shape *ret_shape, struct error *err);

/* sample has passed transform_shape; out (C,Ho,Wo).  rng moves on only where chance is asked for. */
void transform_apply(const struct transform *t, const struct sample *sample, struct rng *rng, float *out);

/*
 * For a source that cuts images to crop x crop itself: what to take off each
 * pixel, (C,crop,crop).  A mean image is read from (o, o) on, o = (its width
 * - crop) / 2.
 * Errors: INVALID when the mean does not fit.
 */
enum status transform_window_mean(const struct transform *t, int channels, int crop, float *ret_mean,
                                  struct error *err);

/* How encoded records are to be decoded: force_color, force_gray, else as they are. */
enum image_color transform_color(const struct transform *t);

#endif
