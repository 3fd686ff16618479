#include "engine/param_layout.h"

#include <string.h>

#include "engine/elementwise.h"

static bool same_axes(const dnnl_memory_desc_t *a, const dnnl_memory_desc_t *b)
{
    return a->ndims == b->ndims && memcmp(a->dims, b->dims, (size_t)a->ndims * sizeof(a->dims[0])) == 0;
}

/*
 * from -> to, both with the plain order of their axes.  When the axes differ
 * (a weight matrix seen as N x K here, as O,I,H,W there) the plain orders are
 * the same bytes.  Winograd's layout is made from a plain one only.
 */
static enum status change_plan(struct layout_change *c, struct planner *planner,
                               const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *from_plain,
                               const dnnl_memory_desc_t *to, const dnnl_memory_desc_t *to_plain, bool add,
                               struct error *err)
{
    c->is_needed = true;
    bool is_direct = to->format_kind == dnnl_blocked || dnnl_memory_desc_equal(from, to_plain);
    if (same_axes(from, to) && is_direct) {
        TRY(kernel_init_reorder(&c->first, from, to, add, err));
    } else {
        c->between = plan_keep(planner, dnnl_memory_desc_get_size(from_plain));
        TRY(kernel_init_reorder(&c->first, from, from_plain, false, err));
        TRY(kernel_init_reorder(&c->second, to_plain, to, add, err));
        plan_scratch(planner, c->second.scratch_bytes);
    }
    plan_scratch(planner, c->first.scratch_bytes);
    return OK;
}

static void change_run(struct layout_change *c, const float *from, float *to, void *scratch)
{
    if (!c->between) {
        KERNEL_RUN(&c->first, scratch, from, to);
        return;
    }
    KERNEL_RUN(&c->first, scratch, from, c->between);
    KERNEL_RUN(&c->second, scratch, c->between, to);
}

static void change_release(struct layout_change *c)
{
    kernel_release(&c->first);
    kernel_release(&c->second);
}

enum status weights_copy_plan(struct weights_copy *w, struct planner *planner, const struct param *p,
                              const dnnl_memory_desc_t *wanted, const dnnl_memory_desc_t *plain,
                              struct error *err)
{
    if (dnnl_memory_desc_equal(&p->desc, wanted))
        return OK;
    w->copy = plan_keep(planner, dnnl_memory_desc_get_size(wanted));
    return change_plan(&w->change, planner, &p->desc, &p->plain, wanted, plain, false, err);
}

const float *weights_copy_get(struct weights_copy *w, const struct param *p, void *scratch)
{
    if (!w->change.is_needed)
        return p->data;
    if (w->version != p->version) {
        change_run(&w->change, p->data, w->copy, scratch);
        w->version = p->version;
    }
    return w->copy;
}

void weights_copy_release(struct weights_copy *w)
{
    change_release(&w->change);
}

enum status scaled_weights_plan(struct scaled_weights *w, struct planner *planner, const struct param *p,
                                const dnnl_memory_desc_t *wanted, const dnnl_memory_desc_t *plain,
                                struct error *err)
{
    w->copy = plan_keep(planner, dnnl_memory_desc_get_size(wanted));
    w->plain_bytes = kernel_align(dnnl_memory_desc_get_size(plain));
    w->n_floats = dnnl_memory_desc_get_size(plain) / sizeof(float);
    TRY(kernel_init_reorder(&w->to_plain, &p->desc, &p->plain, false, err));
    TRY(kernel_init_reorder(&w->to_wanted, plain, wanted, false, err));
    plan_scratch(planner, w->plain_bytes + MAX(w->to_plain.scratch_bytes, w->to_wanted.scratch_bytes));
    return OK;
}

void scaled_weights_renew(struct scaled_weights *w, const struct param *p, const float *factors,
                          size_t n_outputs, void *scratch)
{
    float *plain = scratch;
    void *rest = (char *)scratch + w->plain_bytes;
    size_t row = w->n_floats / n_outputs;
    KERNEL_RUN(&w->to_plain, rest, p->data, plain);
    for (size_t o = 0; o < n_outputs; o++)
        for (size_t i = 0; i < row; i++)
            plain[o * row + i] *= factors[o];
    KERNEL_RUN(&w->to_wanted, rest, plain, w->copy);
}

void scaled_weights_release(struct scaled_weights *w)
{
    kernel_release(&w->to_plain);
    kernel_release(&w->to_wanted);
}

enum status weights_gradient_plan(struct weights_gradient *g, struct planner *planner, const struct param *p,
                                  const dnnl_memory_desc_t *written, const dnnl_memory_desc_t *plain,
                                  struct error *err)
{
    g->n_floats = dnnl_memory_desc_get_size(written) / sizeof(float);
    g->same_layout = dnnl_memory_desc_equal(&p->desc, written);
    size_t bytes = g->n_floats * sizeof(float);
    g->own = g->same_layout ? plan_keep_spare(planner, bytes) : plan_keep(planner, bytes);
    if (g->same_layout)
        return OK;
    TRY(change_plan(&g->overwrite, planner, written, plain, &p->desc, &p->plain, false, err));
    return change_plan(&g->add, planner, written, plain, &p->desc, &p->plain, true, err);
}

float *weights_gradient_target(struct weights_gradient *g, struct param *p)
{
    return g->same_layout && p->diff_is_empty ? p->diff : g->own;
}

void weights_gradient_done(struct weights_gradient *g, struct param *p, void *scratch)
{
    if (!g->same_layout) {
        change_run(p->diff_is_empty ? &g->overwrite : &g->add, g->own, p->diff, scratch);
    } else if (!p->diff_is_empty) {
        float *sum = p->diff;
        const float *more = g->own;
        ELEMENTWISE(i, g->n_floats, sum[i] += more[i]);
    }
    p->diff_is_empty = false;
}

void weights_gradient_release(struct weights_gradient *g)
{
    change_release(&g->overwrite);
    change_release(&g->add);
}
