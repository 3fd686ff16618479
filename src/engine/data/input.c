/*
 * input.c - layers whose tops the caller writes (net_blob_write): Input, and
 * MemoryData where the caller says that it does so.
 */
#include "engine/layer.h"

static enum status input_forward(struct layer *l, struct error *err)
{
    (void)l, (void)err;
    return OK;
}

const struct layer_ops layer_input = {
    .type = "Input",
    .forward = input_forward,
};

static enum status memory_data_setup(struct layer *l, struct error *err)
{
    if (l->caller_feeds)
        return OK;
    return error_set(err, UNSUPPORTED,
                     "MemoryData gets its images from a program's memory, and there is no such "
                     "program here: use Data, ImageData or HDF5Data, or Input to classify");
}

const struct layer_ops layer_memory_data = {
    .type = "MemoryData",
    .setup = memory_data_setup,
    .forward = input_forward,
};
