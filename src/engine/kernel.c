#include "engine/kernel.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static dnnl_engine_t engine;
static dnnl_stream_t stream; /* a CPU stream holds nothing: threads may share it */
static atomic_bool uses_jit_gemm;

static void start(void)
{
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) != dnnl_success)
        abort();
}

dnnl_engine_t kernel_engine(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
    return engine;
}

dnnl_primitive_desc_t pd_make(const void *op_desc, const_dnnl_post_ops_t post_ops,
                              const_dnnl_primitive_desc_t hint)
{
    dnnl_primitive_attr_t attr = NULL;
    if (dnnl_primitive_attr_create(&attr) != dnnl_success)
        return NULL;
    dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (post_ops)
        dnnl_primitive_attr_set_post_ops(attr, post_ops);
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = dnnl_primitive_desc_create(&pd, op_desc, attr, kernel_engine(), hint);
    dnnl_primitive_attr_destroy(attr);
    return status == dnnl_success ? pd : NULL;
}

void pd_freep(dnnl_primitive_desc_t *pd)
{
    if (*pd)
        dnnl_primitive_desc_destroy(*pd);
}

static bool implementation_has(const_dnnl_primitive_desc_t pd, const char *word)
{
    const char *name = "";
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    return strstr(name, word) != NULL;
}

bool pd_is_reference(const_dnnl_primitive_desc_t pd)
{
    return implementation_has(pd, "ref");
}

bool pd_is_gemm(const_dnnl_primitive_desc_t pd)
{
    return implementation_has(pd, "gemm");
}

const dnnl_memory_desc_t *pd_query(const_dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(pd, what, 0);
}

bool kernel_uses_jit_gemm(void)
{
    return atomic_load(&uses_jit_gemm);
}

static enum status init_memory(dnnl_memory_t *memory, const dnnl_memory_desc_t *desc)
{
    return dnnl_memory_create(memory, desc, kernel_engine(), DNNL_MEMORY_NONE) == dnnl_success ? OK : FAILED;
}

enum status kernel_init(struct kernel *k, const_dnnl_primitive_desc_t pd, struct error *err)
{
    *k = (struct kernel){0};
    dnnl_status_t status = dnnl_primitive_create(&k->primitive, pd);
    if (status != dnnl_success)
        return error_set(err, FAILED, "oneDNN cannot make a kernel (status %d)", status);
    if (implementation_has(pd, "gemm:jit"))
        atomic_store(&uses_jit_gemm, true);
    const dnnl_memory_desc_t *scratchpad = pd_query(pd, dnnl_query_scratchpad_md);
    k->scratch_bytes = scratchpad ? dnnl_memory_desc_get_size(scratchpad) : 0;
    if (k->scratch_bytes) {
        k->args[0].arg = DNNL_ARG_SCRATCHPAD;
        if (init_memory(&k->args[0].memory, scratchpad) != OK) {
            kernel_release(k);
            return error_set(err, FAILED, "oneDNN cannot describe a scratchpad");
        }
    }
    return OK;
}

/* args[0] is the scratchpad when there is one. */
static int first_arg(const struct kernel *k)
{
    return k->scratch_bytes ? 1 : 0;
}

void kernel_arg(struct kernel *k, int which, const dnnl_memory_desc_t *desc)
{
    assert(k->n_args < KERNEL_MAX_ARGS);
    dnnl_exec_arg_t *arg = &k->args[first_arg(k) + k->n_args++];
    arg->arg = which;
    if (init_memory(&arg->memory, desc) != OK)
        abort();
}

void kernel_run(struct kernel *k, void *scratch, const void *const data[])
{
    int first = first_arg(k);
    if (first)
        dnnl_memory_set_data_handle(k->args[0].memory, scratch);
    for (int i = 0; i < k->n_args; i++)
        dnnl_memory_set_data_handle(k->args[first + i].memory, (void *)data[i]);
    dnnl_status_t status = dnnl_primitive_execute(k->primitive, stream, first + k->n_args, k->args);
    assert(status == dnnl_success);
    (void)status;
}

void kernel_release(struct kernel *k)
{
    if (!k->primitive)
        return;
    for (int i = 0; i < first_arg(k) + k->n_args; i++)
        dnnl_memory_destroy(k->args[i].memory);
    dnnl_primitive_destroy(k->primitive);
    *k = (struct kernel){0};
}

enum status kernel_init_reorder(struct kernel *k, const dnnl_memory_desc_t *from,
                                const dnnl_memory_desc_t *to, bool add, struct error *err)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t sum = NULL;
    if (dnnl_primitive_attr_create(&attr) != dnnl_success || dnnl_post_ops_create(&sum) != dnnl_success)
        return error_set(err, FAILED, "oneDNN has no memory for a reorder");
    dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (add) {
        dnnl_post_ops_append_sum(sum, 1);
        dnnl_primitive_attr_set_post_ops(attr, sum);
    }
    CLEANUP(pd_freep) dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status =
        dnnl_reorder_primitive_desc_create(&pd, from, kernel_engine(), to, kernel_engine(), attr);
    dnnl_post_ops_destroy(sum);
    dnnl_primitive_attr_destroy(attr);
    if (status != dnnl_success)
        return error_set(err, FAILED, "oneDNN cannot change this layout (status %d)", status);
    TRY(kernel_init(k, pd, err));
    kernel_arg(k, DNNL_ARG_FROM, from);
    kernel_arg(k, DNNL_ARG_TO, to);
    return OK;
}

enum status kernel_convert(const dnnl_memory_desc_t *from_desc, const float *from,
                           const dnnl_memory_desc_t *to_desc, float *ret_to, struct error *err)
{
    if (dnnl_memory_desc_equal(from_desc, to_desc)) {
        memcpy(ret_to, from, dnnl_memory_desc_get_size(from_desc));
        return OK;
    }
    CLEANUP(kernel_release) struct kernel k = {0};
    TRY(kernel_init_reorder(&k, from_desc, to_desc, false, err));
    CLEANUP(freep) void *scratch = xcalloc(1, k.scratch_bytes + 1);
    KERNEL_RUN(&k, scratch, from, ret_to);
    return OK;
}
