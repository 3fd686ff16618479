#include "engine/source.h"

#include <limits.h>
#include <string.h>

#include "base/file.h"
#include "engine/data/source_common.h"

const struct source_ops *source_ops_find(const char *type)
{
    static const struct source_ops *const all[] = {&source_data, &source_image, &source_hdf5, &source_window};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (!strcmp(all[i]->type, type))
            return all[i];
    return NULL;
}

enum status source_shapes(const struct source_options *options, struct source_shape *ret_shapes,
                          struct error *err)
{
    const struct source_ops *ops = source_ops_find(options->param->type);
    if (!ops)
        return error_set(err, INVALID, "layer type '%s' reads no data", options->param->type);
    struct source *source;
    TRY(ops->open(options, &source, err));
    struct source_shape shapes = {.layer = options->param->name, .n_tops = source->n_tops};
    memcpy(shapes.tops, source->tops, sizeof(shapes.tops));
    ops->close(source);
    *ret_shapes = shapes;
    return OK;
}

int source_n_ahead(const Caffe__LayerParameter *param)
{
    return (int)MIN(param->data_param ? param->data_param->prefetch : 4, 1000u);
}

char *source_path(const char *folder, const char *name)
{
    return !folder || name[0] == '/' ? xstrdup(name) : path_join(folder, name);
}

enum status source_batch_shape(uint32_t batch, int n_dims, const int *dims, struct shape *ret_shape,
                               struct error *err)
{
    if (!batch)
        return error_set(err, INVALID, "batch_size is missing or 0");
    if (batch > INT_MAX)
        return error_set(err, TOO_LARGE, "batch_size %u is too large", batch);
    struct shape shape = {.n_axes = 1, .dim = {(int)batch}};
    int64_t count = batch;
    for (int i = 0; i < n_dims; i++) {
        if (dims[i] < 1)
            return error_set(err, INVALID, "axis %d of the data is %d", i + 1, dims[i]);
        count *= dims[i];
        if (count > INT_MAX)
            return error_set(err, TOO_LARGE, "a batch of %u has more than %d elements; lower batch_size",
                             batch, INT_MAX);
        shape.dim[shape.n_axes++] = dims[i];
    }
    *ret_shape = shape;
    return OK;
}

void source_order(uint64_t seed, uint64_t epoch, uint64_t part, bool shuffle, uint32_t n, uint32_t *order)
{
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    if (!shuffle)
        return;
    /* Odd constants keep (epoch, part) pairs apart; rng_seed does the mixing. */
    struct rng rng;
    rng_seed(&rng, seed ^ (epoch + 1) * 0x9e3779b97f4a7c15u ^ (part + 1) * 0xd1342543de82ef95u);
    for (uint32_t left = n; left > 1; left--) {
        uint32_t i = rng_below(&rng, left);
        uint32_t taken = order[i];
        order[i] = order[left - 1];
        order[left - 1] = taken;
    }
}

_Static_assert(sizeof(struct source_place) <= SOURCE_POSITION_MAX, "a place fits a position");

void source_place_save(const struct source_place *place, struct source_position *ret_position)
{
    *ret_position = (struct source_position){0};
    memcpy(ret_position->bytes, place, sizeof(*place));
}

struct source_place source_place_load(const struct source_position *position)
{
    struct source_place place;
    memcpy(&place, position->bytes, sizeof(place));
    return place;
}
