/* silence.c - takes blobs that nobody else reads, so that they are no outputs of the net */
#include <string.h>

#include "engine/layer.h"

static enum status silence_forward(struct layer *l, struct error *err)
{
    (void)l, (void)err;
    return OK;
}

static void silence_backward(struct layer *l)
{
    for (int i = 0; i < l->n_bottoms; i++)
        if (l->bottoms[i].diff)
            memset(l->bottoms[i].diff, 0, l->bottoms[i].n_floats * sizeof(float));
}

const struct layer_ops layer_silence = {
    .type = "Silence",
    .forward = silence_forward,
    .backward = silence_backward,
};
