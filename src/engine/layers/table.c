/*
 * table.c - every layer type of this build.  A new layer is one file and one
 * row here, in its group.
 */
#include <string.h>

#include "engine/layer.h"

#define DATA_LAYERS(ROW)                                                                                     \
    ROW(data)                                                                                                \
    ROW(dummy_data)                                                                                          \
    ROW(hdf5_data)                                                                                           \
    ROW(hdf5_output)                                                                                         \
    ROW(image_data)                                                                                          \
    ROW(input)                                                                                               \
    ROW(memory_data)                                                                                         \
    ROW(window_data)

#define WEIGHT_LAYERS(ROW)                                                                                   \
    ROW(convolution)                                                                                         \
    ROW(deconvolution)                                                                                       \
    ROW(embed)                                                                                               \
    ROW(inner_product)                                                                                       \
    ROW(parameter)

#define ELEMENT_LAYERS(ROW)                                                                                  \
    ROW(absval)                                                                                              \
    ROW(batch_norm)                                                                                          \
    ROW(bias)                                                                                                \
    ROW(bnll)                                                                                                \
    ROW(clip)                                                                                                \
    ROW(dropout)                                                                                             \
    ROW(eltwise)                                                                                             \
    ROW(elu)                                                                                                 \
    ROW(exp)                                                                                                 \
    ROW(log)                                                                                                 \
    ROW(mvn)                                                                                                 \
    ROW(power)                                                                                               \
    ROW(prelu)                                                                                               \
    ROW(relu)                                                                                                \
    ROW(scale)                                                                                               \
    ROW(sigmoid)                                                                                             \
    ROW(softmax)                                                                                             \
    ROW(swish)                                                                                               \
    ROW(tanh)                                                                                                \
    ROW(threshold)

#define SPATIAL_LAYERS(ROW)                                                                                  \
    ROW(im2col)                                                                                              \
    ROW(lrn)                                                                                                 \
    ROW(pooling)                                                                                             \
    ROW(spp)

#define SHAPE_LAYERS(ROW)                                                                                    \
    ROW(argmax)                                                                                              \
    ROW(batch_reindex)                                                                                       \
    ROW(concat)                                                                                              \
    ROW(crop)                                                                                                \
    ROW(filter)                                                                                              \
    ROW(flatten)                                                                                             \
    ROW(reduction)                                                                                           \
    ROW(reshape)                                                                                             \
    ROW(silence)                                                                                             \
    ROW(slice)                                                                                               \
    ROW(split)                                                                                               \
    ROW(tile)

#define RECURRENT_LAYERS(ROW)                                                                                \
    ROW(lstm)                                                                                                \
    ROW(lstm_unit)                                                                                           \
    ROW(rnn)

#define LOSS_LAYERS(ROW)                                                                                     \
    ROW(accuracy)                                                                                            \
    ROW(contrastive_loss)                                                                                    \
    ROW(euclidean_loss)                                                                                      \
    ROW(hinge_loss)                                                                                          \
    ROW(infogain_loss)                                                                                       \
    ROW(multinomial_logistic_loss)                                                                           \
    ROW(sigmoid_cross_entropy_loss)                                                                          \
    ROW(softmax_loss)

#define LAYERS(ROW)                                                                                          \
    DATA_LAYERS(ROW)                                                                                         \
    WEIGHT_LAYERS(ROW)                                                                                       \
    ELEMENT_LAYERS(ROW)                                                                                      \
    SPATIAL_LAYERS(ROW)                                                                                      \
    SHAPE_LAYERS(ROW)                                                                                        \
    RECURRENT_LAYERS(ROW)                                                                                    \
    LOSS_LAYERS(ROW)

#define DECLARE(name) extern const struct layer_ops layer_##name;
LAYERS(DECLARE)

#define REFER(name) &layer_##name,
static const struct layer_ops *const table[] = {LAYERS(REFER)};

const struct layer_ops *layer_ops_find(const char *type)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (strcmp(table[i]->type, type) == 0)
            return table[i];
    return NULL;
}
