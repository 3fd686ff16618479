/*
 * Parameters of one name are one parameter: the first owns the values; the
 * others share them, and may say the multipliers that it did not.
 * Source: Caffe's Net::AppendParam.
 */
#include <string.h>

#include "netdef/names.h"
#include "netdef/wiring.h"

/* What a layer's param {} says; said is which multipliers a parameter has so far. */
struct said {
    bool lr_mult, decay_mult;
};

static const Caffe__ParamSpec *spec_of(const struct wiring *w, const struct param_def *p)
{
    static const Caffe__ParamSpec none = CAFFE__PARAM_SPEC__INIT;
    const Caffe__LayerParameter *layer = w->layers[p->layer].param;
    return (size_t)p->index < layer->n_param ? layer->param[p->index] : &none;
}

static enum status check_shapes(struct wiring *w, const struct param_def *owner,
                                const struct param_def *sharer, bool permissive)
{
    char text_a[SHAPE_TEXT_MAX], text_b[SHAPE_TEXT_MAX];
    if (!shape_is_known(&owner->shape) || !shape_is_known(&sharer->shape))
        return OK;
    bool fits = permissive ? shape_count(&owner->shape) == shape_count(&sharer->shape)
                           : shape_equal(&owner->shape, &sharer->shape);
    if (fits)
        return OK;
    return error_set(
        w->err, INVALID,
        "layer '%s': cannot share param '%s' of shape %s with layer '%s', which owns it with shape %s%s",
        w->layers[sharer->layer].name, sharer->name, shape_text(&sharer->shape, text_a),
        w->layers[owner->layer].name, shape_text(&owner->shape, text_b),
        permissive ? ": the counts differ" : "");
}

static enum status merge_mult(struct wiring *w, const struct param_def *sharer, const struct param_def *owner,
                              const char *what, float value, bool *said, double *ret_mult)
{
    if (*said && *ret_mult != (double)value)
        return error_set(w->err, INVALID,
                         "layer '%s': param '%s' has %s %g, but layer '%s', which shares it, says %g",
                         w->layers[sharer->layer].name, sharer->name, what, (double)value,
                         w->layers[owner->layer].name, *ret_mult);
    *said = true;
    *ret_mult = (double)value;
    return OK;
}

static enum status share(struct wiring *w, struct param_def *p, struct said *said)
{
    struct param_def *owner = &w->params[p->owner];
    const Caffe__ParamSpec *spec = spec_of(w, p);
    TRY(check_shapes(w, owner, p,
                     spec->has_share_mode &&
                         spec->share_mode == CAFFE__PARAM_SPEC__DIM_CHECK_MODE__PERMISSIVE));
    if (spec->has_lr_mult)
        TRY(merge_mult(w, p, owner, "lr_mult", spec->lr_mult, &said[p->owner].lr_mult, &owner->lr_mult));
    if (spec->has_decay_mult)
        TRY(merge_mult(w, p, owner, "decay_mult", spec->decay_mult, &said[p->owner].decay_mult,
                       &owner->decay_mult));
    return OK;
}

enum status params_share(struct wiring *w)
{
    CLEANUP(names_release) struct names owners = {0};
    CLEANUP(freep) struct said *said = xcalloc((size_t)w->def->n_params + 1, sizeof(*said));
    for (int i = 0; i < w->def->n_params; i++) {
        struct param_def *p = &w->params[i];
        const Caffe__ParamSpec *spec = spec_of(w, p);
        p->name = text_or_empty(spec->name);
        int owner = *p->name ? names_get(&owners, p->name) : -1;
        p->owner = owner < 0 ? i : owner;
        if (p->owner != i) {
            TRY(problems_note(w->options->problems, share(w, p, said), w->err));
            continue;
        }
        if (*p->name)
            names_put(&owners, p->name, i);
        p->lr_mult = (double)spec->lr_mult;
        p->decay_mult = (double)spec->decay_mult;
        said[i] = (struct said){spec->has_lr_mult, spec->has_decay_mult};
    }
    for (int i = 0; i < w->def->n_params; i++) {
        struct param_def *p = &w->params[i];
        p->lr_mult = w->params[p->owner].lr_mult;
        p->decay_mult = w->params[p->owner].decay_mult;
    }
    return OK;
}
