/*
 * dummy_data.c - tops filled by fillers, one for all or one a top.
 *
 * Caffe draws anew at every forward pass, except constants; a constant is
 * written again here because the plan may give its memory to other blobs.
 */
#include "engine/fillers.h"
#include "engine/layer.h"

/* NULL is the constant 0. */
static const Caffe__FillerParameter *filler_of(const struct layer *l, int top)
{
    const Caffe__DummyDataParameter *param = l->def->param->dummy_data_param;
    if (!param || !param->n_data_filler)
        return NULL;
    return param->data_filler[param->n_data_filler == 1 ? 0 : top];
}

static enum status dummy_setup(struct layer *l, struct error *err)
{
    const Caffe__DummyDataParameter *param = l->def->param->dummy_data_param;
    size_t n = param ? param->n_data_filler : 0;
    if (n > 1 && n != (size_t)l->n_tops)
        return error_set(err, INVALID, "%zu data_fillers for %d tops; give none, one, or one a top", n,
                         l->n_tops);
    for (int i = 0; i < l->n_tops; i++)
        TRY(filler_check(filler_of(l, i), &l->tops[i].shape, err));
    return OK;
}

static enum status dummy_forward(struct layer *l, struct error *err)
{
    (void)err;
    for (int i = 0; i < l->n_tops; i++)
        filler_fill(filler_of(l, i), &l->tops[i].shape, l->rng, l->tops[i].data);
    return OK;
}

const struct layer_ops layer_dummy_data = {
    .type = "DummyData",
    .setup = dummy_setup,
    .forward = dummy_forward,
};
