/*
 * param_layout.h - between a parameter and a kernel that wants it in another
 * layout: converted copies that are renewed when the values change, and
 * gradients that are added up (oneDNN can only overwrite).
 */
#ifndef ET_PARAM_LAYOUT_H
#define ET_PARAM_LAYOUT_H

#include "engine/kernel.h"
#include "engine/plan.h"

/* A change of layout; through Caffe's order when the axes differ. */
struct layout_change {
    bool is_needed;
    struct kernel first, second;
    float *between; /* NULL: one step is enough */
};

/* A copy of the parameter's values in the layout `wanted`; none when they lie so. */
struct weights_copy {
    struct layout_change change;
    float *copy;
    uint64_t version;
};

/* `plain` is Caffe's order over the axes of `wanted`. */
enum status weights_copy_plan(struct weights_copy *w, struct planner *planner, const struct param *p,
                              const dnnl_memory_desc_t *wanted, const dnnl_memory_desc_t *plain,
                              struct error *err);
/* The values, lent; converted first when they changed. */
const float *weights_copy_get(struct weights_copy *w, const struct param *p, void *scratch);
void weights_copy_release(struct weights_copy *w);

/*
 * A copy of weights (outputs, rest) with each output's row multiplied by a
 * factor, in the layout `wanted`; on the way the values lie in scratch.
 */
struct scaled_weights {
    struct kernel to_plain, to_wanted;
    float *copy;
    size_t n_floats, plain_bytes;
};

enum status scaled_weights_plan(struct scaled_weights *w, struct planner *planner, const struct param *p,
                                const dnnl_memory_desc_t *wanted, const dnnl_memory_desc_t *plain,
                                struct error *err);
void scaled_weights_renew(struct scaled_weights *w, const struct param *p, const float *factors,
                          size_t n_outputs, void *scratch);
void scaled_weights_release(struct scaled_weights *w);

/* The way of a gradient from the kernel that writes it to the parameter. */
struct weights_gradient {
    bool same_layout;
    struct layout_change overwrite, add;
    size_t n_floats; /* of what the kernel writes */
    float *own;      /* where it goes when it cannot go to the parameter's diff */
};

enum status weights_gradient_plan(struct weights_gradient *g, struct planner *planner, const struct param *p,
                                  const dnnl_memory_desc_t *written, const dnnl_memory_desc_t *plain,
                                  struct error *err);
/* Where the kernel is to write; then, when it has, weights_gradient_done. */
float *weights_gradient_target(struct weights_gradient *g, struct param *p);
void weights_gradient_done(struct weights_gradient *g, struct param *p, void *scratch);
void weights_gradient_release(struct weights_gradient *g);

#endif
