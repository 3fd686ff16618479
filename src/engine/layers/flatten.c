/* flatten.c - several axes become one; the bytes stay */
#include "engine/layer.h"

const struct layer_ops layer_flatten = {
    .type = "Flatten",
    .tops_are_bottom = true,
};
