/* clip.c - y = x kept between min and max; the gradient passes where x was between them */
#include "engine/elementwise.h"
#include "engine/layer.h"

struct clip {
    float min, max;
};

static enum status clip_setup(struct layer *l, struct error *err)
{
    const Caffe__ClipParameter *p = l->def->param->clip_param;
    if (!p)
        return error_set(err, INVALID, "needs clip_param with min and max");
    *(struct clip *)l->state = (struct clip){p->min, p->max};
    return OK;
}

static enum status clip_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct clip s = *(const struct clip *)l->state;
    const float *x = l->bottoms[0].data;
    float *y = l->tops[0].data;
    ELEMENTWISE(i, l->tops[0].n_floats, y[i] = x[i] < s.min ? s.min : x[i] > s.max ? s.max : x[i]);
    return OK;
}

static void clip_backward(struct layer *l)
{
    const struct clip s = *(const struct clip *)l->state;
    const float *x = l->bottoms[0].data, *dy = l->tops[0].diff;
    float *dx = l->bottoms[0].diff;
    if (dx)
        ELEMENTWISE(i, l->tops[0].n_floats, dx[i] = x[i] >= s.min && x[i] <= s.max ? dy[i] : 0);
}

const struct layer_ops layer_clip = {
    .type = "Clip",
    .state_size = sizeof(struct clip),
    .backward_needs = NEEDS_BOTTOM_DATA,
    .in_place = true,
    .setup = clip_setup,
    .forward = clip_forward,
    .backward = clip_backward,
};
