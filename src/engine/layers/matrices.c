#include "engine/layers/matrices.h"

#include <assert.h>

bool matrices_are_small(size_t rows, size_t columns)
{
    enum { SMALL = 32 * 64 }; /* measured */
    return product_loops() && rows * columns <= SMALL;
}

static enum status plan_kernel(struct kernel *k, const dnnl_memory_desc_t *a, const dnnl_memory_desc_t *b,
                               const dnnl_memory_desc_t *c, bool add, struct error *err)
{
    dnnl_matmul_desc_t op;
    dnnl_post_ops_t sum = NULL;
    CLEANUP(pd_freep) dnnl_primitive_desc_t pd = NULL;
    if (dnnl_post_ops_create(&sum) != dnnl_success ||
        dnnl_matmul_desc_init(&op, a, b, NULL, c) != dnnl_success)
        return error_set(err, FAILED, "oneDNN cannot describe a multiplication of matrices");
    if (add)
        dnnl_post_ops_append_sum(sum, 1);
    pd = pd_make(&op, sum, NULL);
    dnnl_post_ops_destroy(sum);
    if (!pd)
        return error_set(err, FAILED, "oneDNN cannot multiply matrices");
    TRY(kernel_init(k, pd, err));
    kernel_arg(k, DNNL_ARG_SRC, a);
    kernel_arg(k, DNNL_ARG_WEIGHTS, b);
    kernel_arg(k, DNNL_ARG_DST, c);
    return OK;
}

static size_t stride(const dnnl_memory_desc_t *desc, int axis)
{
    return (size_t)desc->format_desc.blocking.strides[axis];
}

enum status matrices_plan(struct matrices *m, const dnnl_memory_desc_t *a, const dnnl_memory_desc_t *b,
                          const dnnl_memory_desc_t *c, bool add, bool are_small, struct error *err)
{
    if (!are_small)
        return plan_kernel(&m->kernel, a, b, c, add, err);
    assert(stride(b, 2) == 1 && stride(c, 2) == 1);
    *m = (struct matrices){
        .loops = product_loops(),
        .n = (size_t)a->dims[0],
        .a_step = stride(a, 0),
        .b_step = stride(b, 0),
        .c_step = stride(c, 0),
        .shape =
            {
                .m = (size_t)a->dims[1],
                .k = (size_t)a->dims[2],
                .n = (size_t)b->dims[2],
                .a_row = stride(a, 1),
                .a_column = stride(a, 2),
                .b_row = stride(b, 1),
                .c_row = stride(c, 1),
                .add = add,
            },
    };
    return OK;
}

void matrices_multiply(struct matrices *m, void *scratch, const float *a, const float *b, float *c)
{
    if (!m->loops) {
        KERNEL_RUN(&m->kernel, scratch, a, b, c);
        return;
    }
    struct product p = m->shape;
    for (size_t i = 0; i < m->n; i++) {
        p.a = a + i * m->a_step;
        p.b = b + i * m->b_step;
        p.c = c + i * m->c_step;
        m->loops(&p);
    }
}

void matrices_release(struct matrices *m)
{
    kernel_release(&m->kernel);
}
