/*
 * desc.c - names for the memory layouts that the engine uses.
 */
#include <assert.h>

#include "engine/plan.h"
#include "engine/vectors/kind.h"

void desc_plain(const struct shape *shape, dnnl_memory_desc_t *ret_desc)
{
    dnnl_dims_t dims = {0}, strides = {0};
    int n = shape->n_axes;
    if (n < 1 || n > DNNL_MAX_NDIMS) {
        n = 1;
        dims[0] = shape_count(shape);
    } else {
        for (int i = 0; i < n; i++)
            dims[i] = shape->dim[i];
    }
    dnnl_dim_t stride = 1;
    for (int i = n - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= dims[i];
    }
    dnnl_status_t status = dnnl_memory_desc_init_by_strides(ret_desc, n, dims, dnnl_f32, strides);
    assert(status == dnnl_success);
    (void)status;
}

void desc_by_tag(const struct shape *shape, dnnl_format_tag_t tag, dnnl_memory_desc_t *ret_desc)
{
    dnnl_dims_t dims = {0};
    for (int i = 0; i < shape->n_axes; i++)
        dims[i] = shape->dim[i];
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(ret_desc, shape->n_axes, dims, dnnl_f32, tag);
    assert(status == dnnl_success);
    (void)status;
}

static bool desc_has_tag(const dnnl_memory_desc_t *desc, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t other;
    return tag != dnnl_format_tag_undef &&
           dnnl_memory_desc_init_by_tag(&other, desc->ndims, desc->dims, desc->data_type, tag) ==
               dnnl_success &&
           dnnl_memory_desc_equal(desc, &other);
}

bool desc_is_plain(const dnnl_memory_desc_t *desc)
{
    if (desc->format_kind != dnnl_blocked || desc->format_desc.blocking.inner_nblks)
        return false;
    dnnl_dim_t stride = 1;
    for (int i = desc->ndims - 1; i >= 0; i--) {
        if (desc->dims[i] != 1 && desc->format_desc.blocking.strides[i] != stride)
            return false;
        stride *= desc->dims[i];
    }
    return true;
}

dnnl_memory_desc_t desc_of_type(const dnnl_memory_desc_t *desc, dnnl_data_type_t type)
{
    dnnl_memory_desc_t other = *desc;
    other.data_type = type;
    return other;
}

size_t desc_n_elements(const dnnl_memory_desc_t *desc)
{
    return dnnl_memory_desc_get_size(desc) / (desc->data_type == dnnl_bf16 ? 2 : sizeof(float));
}

dnnl_memory_desc_t desc_outputs_last(const dnnl_memory_desc_t *plain)
{
    int o = plain->ndims - 4;
    dnnl_dims_t strides = {0};
    strides[o] = 1;
    strides[o + 1] = plain->dims[o];
    strides[o + 3] = plain->dims[o + 1] * strides[o + 1];
    strides[o + 2] = plain->dims[o + 3] * strides[o + 3];
    if (o > 0)
        strides[0] = plain->dims[o + 2] * strides[o + 2];
    dnnl_memory_desc_t desc;
    dnnl_status_t status =
        dnnl_memory_desc_init_by_strides(&desc, plain->ndims, plain->dims, dnnl_f32, strides);
    assert(status == dnnl_success);
    (void)status;
    return desc;
}

bool desc_is_nhwc(const dnnl_memory_desc_t *desc)
{
    return desc_has_tag(desc, tag_nhwc(desc->ndims));
}

bool desc_is_blocked16(const dnnl_memory_desc_t *desc)
{
    return desc_has_tag(desc, tag_blocked16(desc->ndims));
}

dnnl_format_tag_t tag_plain(int n_axes)
{
    static const dnnl_format_tag_t tags[] = {dnnl_abc, dnnl_abcd, dnnl_abcde};
    return n_axes < 3 || n_axes > 5 ? dnnl_format_tag_undef : tags[n_axes - 3];
}

dnnl_format_tag_t tag_nhwc(int n_axes)
{
    static const dnnl_format_tag_t tags[] = {dnnl_acb, dnnl_acdb, dnnl_acdeb};
    return n_axes < 3 || n_axes > 5 ? dnnl_format_tag_undef : tags[n_axes - 3];
}

bool blocks_are_liked(void)
{
    return vectors_kind() == VECTORS_AVX512;
}

dnnl_format_tag_t tag_blocked16(int n_axes)
{
    static const dnnl_format_tag_t tags[] = {dnnl_aBc16b, dnnl_aBcd16b, dnnl_aBcde16b};
    return n_axes < 3 || n_axes > 5 ? dnnl_format_tag_undef : tags[n_axes - 3];
}
