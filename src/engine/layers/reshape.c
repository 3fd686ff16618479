/* reshape.c - another shape of as many elements; the bytes stay */
#include "engine/layer.h"

const struct layer_ops layer_reshape = {
    .type = "Reshape",
    .tops_are_bottom = true,
};
