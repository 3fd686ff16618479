/*
 * net_params.c - the parameters of a net: whose they are, where they lie, how
 * they are filled, and Caffe's order of them.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/elementwise.h"
#include "engine/fillers.h"
#include "engine/net_internal.h"

/* ---- making ---- */

/*
 * The parameter of the sharing net that belongs to the layer of the same
 * name; *ret_param stays NULL when there is no such layer.
 */
static enum status find_shared(const struct net *net, int owner, struct param **ret_param, struct error *err)
{
    struct net *from = net->options.share;
    if (!from)
        return OK;
    const struct param_def *wanted = &net->def->params[owner];
    const struct layer_def *layer = &net->def->layers[wanted->layer];
    int index = netdef_find_layer(from->def, layer->name);
    if (index < 0)
        return OK;
    const struct layer_def *other = &from->def->layers[index];
    if (other->n_params != layer->n_params)
        return error_set(err, INVALID,
                         "layer '%s': it has %d parameters here and %d in the net that it shares with",
                         layer->name, layer->n_params, other->n_params);
    int theirs = other->params[wanted->index];
    const struct param_def *given = &from->def->params[theirs];
    if (!shape_equal(&wanted->shape, &given->shape)) {
        char a[SHAPE_TEXT_MAX], b[SHAPE_TEXT_MAX];
        return error_set(
            err, INVALID, "layer '%s': parameter %d is %s here and %s in the net that it shares with",
            layer->name, wanted->index, shape_text(&wanted->shape, a), shape_text(&given->shape, b));
    }
    *ret_param = from->params[theirs];
    return OK;
}

static enum status check_filler(const struct net *net, int owner, struct error *err)
{
    const struct param_def *d = &net->def->params[owner];
    if (filler_check(d->filler, &d->shape, err) != OK)
        return error_context(err, "layer '%s'", net->def->layers[d->layer].name);
    return OK;
}

enum status net_params_create(struct net *net, struct error *err)
{
    const struct netdef *def = net->def;
    size_t n = (size_t)def->n_params + 1;
    net->params = xcalloc(n, sizeof(net->params[0]));
    net->own_params = xcalloc(n, sizeof(net->own_params[0]));
    net->param_is_own = xcalloc(n, sizeof(bool));
    net->param_is_planned = xcalloc(n, sizeof(bool));
    for (int i = 0; i < def->n_params; i++) {
        int owner = def->params[i].owner;
        if (owner != i)
            continue;
        TRY(find_shared(net, i, &net->params[i], err));
        if (net->params[i])
            continue;
        TRY(check_filler(net, i, err));
        struct param *p = &net->own_params[i];
        p->def = &def->params[i];
        desc_plain(&def->params[i].shape, &p->desc);
        p->plain = p->desc;
        p->n_floats = (size_t)shape_count(&def->params[i].shape);
        p->diff_is_empty = true;
        net->params[i] = p;
        net->param_is_own[i] = true;
    }
    for (int i = 0; i < def->n_params; i++)
        net->params[i] = net->params[def->params[i].owner];
    return OK;
}

enum status net_params_allocate(struct net *net, struct error *err)
{
    size_t total = 0;
    int n = net->def->n_params;
    for (int i = 0; i < n; i++)
        if (net->param_is_own[i])
            total +=
                (net->options.inference ? 1 : 2) * kernel_align(net->params[i]->n_floats * sizeof(float));
    net->param_bytes = total;
    if (net->options.plan_only)
        return OK;
    char *at = memory_pages(total);
    if (!at)
        return error_set(err, TOO_LARGE, "the net's parameters need %zu bytes of memory", total);
    net->param_pages = at;
    for (int i = 0; i < n; i++) {
        if (!net->param_is_own[i])
            continue;
        struct param *p = net->params[i];
        size_t bytes = kernel_align(p->n_floats * sizeof(float));
        p->data = (float *)at;
        at += bytes;
        if (!net->options.inference) {
            p->diff = (float *)at;
            at += bytes;
        }
    }
    return OK;
}

enum status net_params_fill(struct net *net, struct rng *rng, struct error *err)
{
    for (int i = 0; i < net->def->n_params; i++) {
        struct rng own = rng_split(rng);
        if (!net->param_is_own[i])
            continue;
        struct param *p = net->params[i];
        CLEANUP(freep) float *plain = xcalloc((size_t)shape_count(&p->def->shape) + 1, sizeof(*plain));
        filler_fill(p->def->filler, &p->def->shape, &own, plain);
        TRY(kernel_convert(&p->plain, plain, &p->desc, p->data, err));
        p->version = 1;
    }
    return OK;
}

void net_params_release(struct net *net)
{
    memory_pages_free(net->param_pages, net->param_bytes);
    free(net->params);
    free(net->own_params);
    free(net->param_is_own);
    free(net->param_is_planned);
}

/* ---- using ---- */

float *param_diff_add(struct param *p)
{
    if (p->diff_is_empty) {
        memset(p->diff, 0, p->n_floats * sizeof(float));
        p->diff_is_empty = false;
    }
    return p->diff;
}

int net_n_params(const struct net *net)
{
    return net->def->n_params;
}

struct param *net_param(struct net *net, int index)
{
    return net->params[index];
}

void net_clear_diffs(struct net *net)
{
    for (int i = 0; i < net->def->n_params; i++)
        net->params[i]->diff_is_empty = true;
}

void param_export(const struct param *p, const float *values, float *ret_plain)
{
    enum status status = kernel_convert(&p->desc, values, &p->plain, ret_plain, NULL);
    assert(status == OK);
    (void)status;
}

void param_import(const struct param *p, const float *plain, float *ret_values)
{
    enum status status = kernel_convert(&p->plain, plain, &p->desc, ret_values, NULL);
    assert(status == OK);
    (void)status;
}
