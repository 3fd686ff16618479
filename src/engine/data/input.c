/*
 * input.c - layers whose tops the caller writes: Input (net_blob_write), and
 * MemoryData, which only a program that links a net can serve.
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
    (void)l;
    return error_set(err, UNSUPPORTED,
                     "MemoryData gets its images from a program's memory, and there is no such "
                     "program here: use Data, ImageData or HDF5Data, or Input to classify");
}

const struct layer_ops layer_memory_data = {
    .type = "MemoryData",
    .setup = memory_data_setup,
    .forward = input_forward,
};
