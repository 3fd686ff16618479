/*
 * kernel.h - oneDNN primitives with their arguments bound once.
 *
 *   pd_make (is this possible? which layouts?) -> kernel_init -> kernel_arg... -> kernel_run, many times
 *
 * All primitives use a scratchpad that the caller gives: the library's own
 * is not safe when nets run in several threads.  Execution checks nothing of
 * sizes and layouts, so kernel_arg wants the descriptor that the primitive
 * itself was asked for.
 */
#ifndef ET_KERNEL_H
#define ET_KERNEL_H

#include <oneapi/dnnl/dnnl.h>

#include "base/base.h"

dnnl_engine_t kernel_engine(void); /* the process's one CPU engine */

/*
 * NULL when oneDNN cannot do it.  post_ops may be NULL; hint is the forward
 * descriptor of a backward one.
 */
dnnl_primitive_desc_t pd_make(const void *op_desc, const_dnnl_post_ops_t post_ops,
                              const_dnnl_primitive_desc_t hint);
void pd_freep(dnnl_primitive_desc_t *pd);

/* oneDNN's reference code: right, but 10 to 1000 times slower. */
bool pd_is_reference(const_dnnl_primitive_desc_t pd);
/* Matrix multiplication of unrolled images. */
bool pd_is_gemm(const_dnnl_primitive_desc_t pd);

/* A layout that pd chose; lent as long as pd lives. */
const dnnl_memory_desc_t *pd_query(const_dnnl_primitive_desc_t pd, dnnl_query_t what);

#define KERNEL_MAX_ARGS 8

struct kernel {
    dnnl_primitive_t primitive; /* NULL: not made */
    int n_args;
    dnnl_exec_arg_t args[KERNEL_MAX_ARGS + 1];
    size_t scratch_bytes;
};

enum status kernel_init(struct kernel *k, const_dnnl_primitive_desc_t pd, struct error *err);
/* Names the next argument of kernel_run. */
void kernel_arg(struct kernel *k, int which, const dnnl_memory_desc_t *desc);
/* data: a pointer for each argument, in the order in which they were named. */
void kernel_run(struct kernel *k, void *scratch, const void *const data[]);
void kernel_release(struct kernel *k);

/* Some kernel of this process multiplies by oneDNN's generated sgemm, whose generators are large. */
bool kernel_uses_jit_gemm(void);

#define KERNEL_RUN(k, scratch, ...) kernel_run((k), (scratch), (const void *const[]){__VA_ARGS__})

/*
 * Layout change; arguments: from, to.  With `add` the values are added to
 * what is there.  Both have the same axes.
 */
enum status kernel_init_reorder(struct kernel *k, const dnnl_memory_desc_t *from,
                                const dnnl_memory_desc_t *to, bool add, struct error *err);

/* The same at once, for what is rare. */
enum status kernel_convert(const dnnl_memory_desc_t *from_desc, const float *from,
                           const dnnl_memory_desc_t *to_desc, float *ret_to, struct error *err);

/* Bytes rounded up so that what follows is aligned as oneDNN likes it. */
#define KERNEL_ALIGNMENT 64
static inline size_t kernel_align(size_t bytes)
{
    return (bytes + KERNEL_ALIGNMENT - 1) / KERNEL_ALIGNMENT * KERNEL_ALIGNMENT;
}

/* The same of floats. */
static inline size_t kernel_align_floats(size_t floats)
{
    return kernel_align(floats * sizeof(float)) / sizeof(float);
}

#endif
