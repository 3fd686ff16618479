/* Layers that bring values in, and the one that takes them out. */
#include "netdef/shapes.h"

#include <limits.h>

static enum status use_source(struct shaping *s)
{
    if (s->source->n_tops < s->n_tops)
        return shape_error(s, "the source delivers %d blobs, not the %d that the layer has as tops",
                           s->source->n_tops, s->n_tops);
    for (int i = 0; i < s->n_tops; i++)
        s->tops[i] = s->source->tops[i];
    return OK;
}

static enum status check_batch(struct shaping *s, const char *param, uint32_t batch_size)
{
    if (batch_size < 1 || batch_size > INT_MAX)
        return shape_error(s, "%s's batch_size must be at least 1", param);
    return OK;
}

static void set_labels(struct shaping *s, uint32_t batch_size)
{
    if (s->n_tops > 1)
        s->tops[1] = shape_vector(batch_size);
}

/* tops (N, C, H, W), labels (N) */
enum status shape_data(struct shaping *s)
{
    const Caffe__DataParameter *param = s->param->data_param;
    if (!param)
        return shape_error(s, "data_param { source: ... batch_size: ... } is missing");
    TRY(check_batch(s, "data_param", param->batch_size));
    if (s->source)
        return use_source(s);
    set_labels(s, param->batch_size);
    return OK;
}

static uint32_t crop_size(const struct shaping *s)
{
    return s->param->transform_param ? s->param->transform_param->crop_size : 0;
}

/* tops (N, C, H, W), labels (N); H and W are known when images are cropped or resized */
enum status shape_image_data(struct shaping *s)
{
    const Caffe__ImageDataParameter *param = s->param->image_data_param;
    if (!param)
        return shape_error(s, "image_data_param { source: ... batch_size: ... } is missing");
    TRY(check_batch(s, "image_data_param", param->batch_size));
    if (!param->new_height != !param->new_width)
        return shape_error(s, "give both new_height and new_width, or neither");
    if (s->source)
        return use_source(s);
    int64_t height = crop_size(s) ? crop_size(s) : param->new_height;
    int64_t width = crop_size(s) ? crop_size(s) : param->new_width;
    if (height)
        TRY(set_top(s, 0, 4, (int64_t[]){param->batch_size, param->is_color ? 3 : 1, height, width}));
    set_labels(s, param->batch_size);
    return OK;
}

enum status shape_window_data(struct shaping *s)
{
    const Caffe__WindowDataParameter *param = s->param->window_data_param;
    if (!param)
        return shape_error(s, "window_data_param { source: ... batch_size: ... } is missing");
    TRY(check_batch(s, "window_data_param", param->batch_size));
    if (crop_size(s) < 1)
        return shape_error(s, "transform_param's crop_size must be at least 1");
    if (s->source)
        return use_source(s);
    TRY(set_top(s, 0, 4, (int64_t[]){param->batch_size, 3, crop_size(s), crop_size(s)}));
    set_labels(s, param->batch_size);
    return OK;
}

enum status shape_hdf5_data(struct shaping *s)
{
    const Caffe__HDF5DataParameter *param = s->param->hdf5_data_param;
    if (!param)
        return shape_error(s, "hdf5_data_param { source: ... batch_size: ... } is missing");
    TRY(check_batch(s, "hdf5_data_param", param->batch_size));
    if (s->param->transform_param)
        return shape_error(s, "this type does not transform data: leave out transform_param");
    return s->source ? use_source(s) : OK;
}

enum status shape_memory_data(struct shaping *s)
{
    const Caffe__MemoryDataParameter *param = s->param->memory_data_param;
    if (s->source)
        return use_source(s);
    if (!param || !param->batch_size || !param->channels || !param->height || !param->width)
        return shape_error(s,
                           "memory_data_param's batch_size, channels, height and width must be at least 1");
    TRY(set_top(s, 0, 4, (int64_t[]){param->batch_size, param->channels, param->height, param->width}));
    return set_top(s, 1, 1, (int64_t[]){param->batch_size});
}

/* num, channels, height, width: one for all tops, or one a top. */
static enum status legacy_shapes(struct shaping *s, const Caffe__DummyDataParameter *param)
{
    const struct {
        const char *name;
        const uint32_t *values;
        size_t n;
    } axes[] = {
        {"num", param->num, param->n_num},
        {"channels", param->channels, param->n_channels},
        {"height", param->height, param->n_height},
        {"width", param->width, param->n_width},
    };
    if (param->n_shape)
        return shape_error(s, "give shape, or its legacy form num, channels, height and width, not both");
    for (int i = 0; i < s->n_tops; i++) {
        int64_t dims[4];
        for (size_t k = 0; k < 4; k++) {
            if (axes[k].n != 1 && axes[k].n != (size_t)s->n_tops)
                return shape_error(s,
                                   "'%s' must be given once, or once for each of the %d tops, not %zu times",
                                   axes[k].name, s->n_tops, axes[k].n);
            dims[k] = axes[k].values[axes[k].n == 1 ? 0 : i];
        }
        TRY(set_top(s, i, 4, dims));
    }
    return OK;
}

enum status shape_dummy_data(struct shaping *s)
{
    static const Caffe__DummyDataParameter none = CAFFE__DUMMY_DATA_PARAMETER__INIT;
    const Caffe__DummyDataParameter *param = s->param->dummy_data_param ? s->param->dummy_data_param : &none;
    if (param->n_data_filler > 1 && param->n_data_filler != (size_t)s->n_tops)
        return shape_error(
            s, "data_filler must be given never, once, or once for each of the %d tops, not %zu times",
            s->n_tops, param->n_data_filler);
    if (param->n_num || param->n_channels || param->n_height || param->n_width)
        return legacy_shapes(s, param);
    return shapes_from_list(s, param->shape, param->n_shape);
}

enum status shape_input(struct shaping *s)
{
    const Caffe__InputParameter *param = s->param->input_param;
    if (s->source)
        return use_source(s);
    if (!param || !param->n_shape)
        return OK;
    return shapes_from_list(s, param->shape, param->n_shape);
}

/* The parameter is the top. */
enum status shape_parameter(struct shaping *s)
{
    const Caffe__ParameterParameter *param = s->param->parameter_param;
    if (param && param->shape)
        TRY(shape_from_proto(s, param->shape, &s->tops[0]));
    else
        s->tops[0] = shape_scalar;
    declare_param(s, s->tops[0], NULL);
    return OK;
}

enum status shape_hdf5_output(struct shaping *s)
{
    char text_a[BOTTOM_TEXT_MAX], text_b[BOTTOM_TEXT_MAX];
    const Caffe__HDF5OutputParameter *param = s->param->hdf5_output_param;
    if (!param || !param->file_name || !*param->file_name)
        return shape_error(s, "hdf5_output_param { file_name: ... } is missing");
    if (!bottoms_known(s))
        return OK;
    TRY(check_legacy_axes(s, 0));
    TRY(check_legacy_axes(s, 1));
    if (legacy_axis(s->bottoms[0], 0) != legacy_axis(s->bottoms[1], 0))
        return shape_error(s, "%s and %s must have the same first dimension", bottom_text(s, 0, text_a),
                           bottom_text(s, 1, text_b));
    return OK;
}
