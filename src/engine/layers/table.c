/*
 * table.c - every layer type of this build.  A new layer is one file and one
 * row here, in its group.
 */
#include <string.h>

#include "engine/layer.h"

#define DATA_LAYERS(ROW) \
    ROW(data)             \
    ROW(dummy_data)       \
    ROW(hdf5_data)        \
    ROW(hdf5_output)      \
    ROW(image_data)       \
    ROW(input)            \
    ROW(memory_data)

#define WEIGHT_LAYERS(ROW)

#define ELEMENT_LAYERS(ROW) \
    ROW(relu)

#define SPATIAL_LAYERS(ROW)

#define SHAPE_LAYERS(ROW)

#define LOSS_LAYERS(ROW)

#define LAYERS(ROW)     \
    DATA_LAYERS(ROW)    \
    WEIGHT_LAYERS(ROW)  \
    ELEMENT_LAYERS(ROW) \
    SPATIAL_LAYERS(ROW) \
    SHAPE_LAYERS(ROW)   \
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
