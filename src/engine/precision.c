#include "engine/precision.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

bool precision_read(const char *text, enum precision *ret_precision)
{
    if (!strcmp(text, "f32"))
        *ret_precision = PRECISION_F32;
    else if (!strcmp(text, "bf16"))
        *ret_precision = PRECISION_BF16;
    else
        return false;
    return true;
}

/* The variable that holds oneDNN to fewer instructions than the processor has; NULL: none. */
static const char *held_by(void)
{
    static const char *const names[] = {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (getenv(names[i]))
            return names[i];
    return NULL;
}

enum status precision_check(enum precision precision, struct error *err)
{
    unsigned wanted = dnnl_cpu_isa_avx512_core_bf16;
    if (precision != PRECISION_BF16 || (dnnl_get_effective_cpu_isa() & wanted) == wanted)
        return OK;
    const char *name = held_by();
    if (name)
        return error_set(err, UNSUPPORTED,
                         "precision bf16 needs the instructions avx512_bf16, which %s=%s does not allow; use "
                         "precision f32",
                         name, getenv(name));
    return error_set(err, UNSUPPORTED,
                     "precision bf16 needs a processor with avx512_bf16, which this one has not; use "
                     "precision f32");
}

bool precision_has_amx(void)
{
    unsigned wanted = dnnl_cpu_isa_avx512_core_amx;
    return (dnnl_get_effective_cpu_isa() & wanted) == wanted;
}
