/*
 * shapes.h - what the shape functions of the layer types share, and their
 * names.  Shapes and refusals are those of the Reshape and LayerSetUp of
 * Caffe's layers.
 */
#ifndef ET_NETDEF_SHAPES_H
#define ET_NETDEF_SHAPES_H

#include "netdef/layer_types.h"

extern const struct shape shape_unknown, shape_scalar;

/* INVALID with the message; the caller puts the layer's name before it. */
enum status shape_error(struct shaping *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "bottom 'pool2' of shape 64 50 4 4 (51200)" into out.  Returns out. */
#define BOTTOM_TEXT_MAX 256
const char *bottom_text(const struct shaping *s, int i, char out[BOTTOM_TEXT_MAX]);

bool bottoms_known(const struct shaping *s);
struct shape shape_of(int n_axes, const int64_t *dims); /* unknown when a dim is no int */
/* The same for a top: INVALID when a dim is no int. */
enum status set_top(struct shaping *s, int top, int n_axes, const int64_t *dims);
struct shape shape_vector(int64_t n);
/* Caffe's num, channels, height, width (0 to 3): absent axes are 1. */
int legacy_axis(const struct shape *s, int axis);
/* For the layers that use those: INVALID with more than 4 axes. */
enum status check_legacy_axes(struct shaping *s, int bottom);

/* Axis of a bottom with Caffe's negative counting; INVALID when out of range. */
enum status bottom_axis(struct shaping *s, int bottom, int axis, int *ret_axis);
enum status check_n_axes(struct shaping *s, int bottom, int n_axes);
enum status check_same_shape(struct shaping *s, int bottom_a, int bottom_b);

/* Declares the next parameter; filler NULL is constant 0. */
void declare_param(struct shaping *s, struct shape shape, const Caffe__FillerParameter *filler);
extern const Caffe__FillerParameter filler_zero, filler_one, filler_quarter;

/* Shapes of a list of BlobShapes: one for all tops, or one a top. */
enum status shapes_from_list(struct shaping *s, Caffe__BlobShape *const *shapes, size_t n_shapes);
enum status shape_from_proto(struct shaping *s, const Caffe__BlobShape *proto, struct shape *ret_shape);

typedef enum status shape_function(struct shaping *s);

shape_function shape_like_bottom, shape_dropout, shape_exp, shape_log, shape_prelu;
shape_function shape_batch_norm, shape_scale, shape_bias, shape_lrn, shape_mvn, shape_softmax;
shape_function shape_convolution, shape_deconvolution, shape_im2col, shape_pooling, shape_spp;
shape_function shape_inner_product, shape_embed, shape_lstm, shape_rnn, shape_lstm_unit;
shape_function shape_softmax_loss, shape_sigmoid_loss, shape_euclidean_loss, shape_hinge_loss;
shape_function shape_contrastive_loss, shape_multinomial_loss, shape_infogain_loss;
shape_function shape_accuracy, shape_argmax;
shape_function shape_concat, shape_slice, shape_split, shape_eltwise, shape_flatten, shape_reshape;
shape_function shape_crop, shape_tile, shape_reduction, shape_batch_reindex, shape_filter, shape_silence;
shape_function shape_data, shape_image_data, shape_window_data, shape_hdf5_data, shape_memory_data;
shape_function shape_dummy_data, shape_input, shape_parameter, shape_hdf5_output;

/* Pooled length of one axis as Caffe rounds it; less than 1 when nothing fits. */
int64_t pooled_length(int64_t in, int64_t kernel, int64_t stride, int64_t pad, bool round_up, bool clip);

#endif
