#include "engine/fillers.h"

#include <math.h>
#include <string.h>

struct filler_type {
    const char *name;
    enum status (*check)(const Caffe__FillerParameter *f, const struct shape *shape, struct error *err);
    void (*fill)(const Caffe__FillerParameter *f, const struct shape *shape, struct rng *rng, float *values);
};

static void fill_constant(const Caffe__FillerParameter *f, const struct shape *shape, struct rng *rng,
                          float *values)
{
    (void)rng;
    float value = f ? f->value : 0;
    int64_t n = shape_count(shape);
    for (int64_t i = 0; i < n; i++)
        values[i] = value;
}

static void uniform(float low, float high, int64_t n, struct rng *rng, float *values)
{
    for (int64_t i = 0; i < n; i++)
        values[i] = (float)(low + ((double)high - low) * rng_uniform(rng));
}

static void gaussian(double mean, double deviation, int64_t n, struct rng *rng, float *values)
{
    for (int64_t i = 0; i < n; i++)
        values[i] = (float)(mean + deviation * rng_gaussian(rng));
}

static enum status check_uniform(const Caffe__FillerParameter *f, const struct shape *shape,
                                 struct error *err)
{
    (void)shape;
    if (!(f->min <= f->max))
        return error_set(err, INVALID, "uniform filler: min %g is above max %g", f->min, f->max);
    return OK;
}

static void fill_uniform(const Caffe__FillerParameter *f, const struct shape *shape, struct rng *rng,
                         float *values)
{
    uniform(f->min, f->max, shape_count(shape), rng, values);
}

static enum status check_gaussian(const Caffe__FillerParameter *f, const struct shape *shape,
                                  struct error *err)
{
    if (!(f->std >= 0))
        return error_set(err, INVALID, "gaussian filler: std is %g, not 0 or more", f->std);
    if (f->sparse < -1)
        return error_set(err, INVALID, "gaussian filler: sparse is %d, not -1 or more", f->sparse);
    if (f->sparse >= 0 && shape->n_axes < 1)
        return error_set(err, INVALID, "gaussian filler: sparse needs a blob with at least one axis");
    return OK;
}

/* sparse: the mean number of weights that are not 0 for an input. */
static void fill_gaussian(const Caffe__FillerParameter *f, const struct shape *shape, struct rng *rng,
                          float *values)
{
    int64_t n = shape_count(shape);
    gaussian(f->mean, f->std, n, rng, values);
    if (f->sparse < 0)
        return;
    double kept = (double)f->sparse / shape->dim[0];
    for (int64_t i = 0; i < n; i++)
        if (rng_uniform(rng) >= kept)
            values[i] = 0;
}

static enum status check_rows(const Caffe__FillerParameter *f, const struct shape *shape, struct error *err)
{
    if (shape->n_axes < 1)
        return error_set(err, INVALID, "%s filler: the blob has no axes", f->type);
    return OK;
}

/* Each row (all axes but the first) is positive and sums to 1. */
static void fill_positive_unitball(const Caffe__FillerParameter *f, const struct shape *shape,
                                   struct rng *rng, float *values)
{
    (void)f;
    int64_t n = shape_count(shape), row = shape_count_range(shape, 1, shape->n_axes);
    uniform(0, 1, n, rng, values);
    for (int64_t start = 0; start < n; start += row) {
        double sum = 0;
        for (int64_t j = 0; j < row; j++)
            sum += values[start + j];
        for (int64_t j = 0; j < row; j++)
            values[start + j] = (float)(values[start + j] / sum);
    }
}

/* Inputs, outputs or their average: count / axis 0 and count / axis 1, as Caffe takes them for every layer.
 */
static double fan(const Caffe__FillerParameter *f, const struct shape *shape)
{
    int64_t n = shape_count(shape);
    double in = (double)(n / shape->dim[0]);
    double out = (double)(shape->n_axes > 1 ? n / shape->dim[1] : n);
    switch (f->variance_norm) {
    case CAFFE__FILLER_PARAMETER__VARIANCE_NORM__FAN_OUT:
        return out;
    case CAFFE__FILLER_PARAMETER__VARIANCE_NORM__AVERAGE:
        return (in + out) / 2;
    default:
        return in;
    }
}

/* U(-a, a) with a = sqrt(3 / fan): Glorot and Bengio 2010. */
static void fill_xavier(const Caffe__FillerParameter *f, const struct shape *shape, struct rng *rng,
                        float *values)
{
    float a = (float)sqrt(3 / fan(f, shape));
    uniform(-a, a, shape_count(shape), rng, values);
}

/* N(0, 2 / fan): He et al. 2015. */
static void fill_msra(const Caffe__FillerParameter *f, const struct shape *shape, struct rng *rng,
                      float *values)
{
    gaussian(0, sqrt(2 / fan(f, shape)), shape_count(shape), rng, values);
}

static enum status check_bilinear(const Caffe__FillerParameter *f, const struct shape *shape,
                                  struct error *err)
{
    (void)f;
    if (shape->n_axes != 4 || shape->dim[2] != shape->dim[3]) {
        char text[SHAPE_TEXT_MAX];
        return error_set(err, INVALID, "bilinear filler: the blob is %s, not 4 axes with a square kernel",
                         shape_text(shape, text));
    }
    return OK;
}

static void fill_bilinear(const Caffe__FillerParameter *f, const struct shape *shape, struct rng *rng,
                          float *values)
{
    (void)f;
    (void)rng;
    int k = shape->dim[3];
    double half = (k + 1) / 2;
    double centre = (k - 1) / (2 * half);
    int64_t n = shape_count(shape);
    for (int64_t i = 0; i < n; i++) {
        double x = (double)(i % k), y = (double)(i / k % k);
        values[i] = (float)((1 - fabs(x / half - centre)) * (1 - fabs(y / half - centre)));
    }
}

static const struct filler_type types[] = {
    {"constant", NULL, fill_constant},           {"uniform", check_uniform, fill_uniform},
    {"gaussian", check_gaussian, fill_gaussian}, {"positive_unitball", check_rows, fill_positive_unitball},
    {"xavier", check_rows, fill_xavier},         {"msra", check_rows, fill_msra},
    {"bilinear", check_bilinear, fill_bilinear},
};

static const struct filler_type *type_of(const Caffe__FillerParameter *filler)
{
    if (!filler || !filler->type || !*filler->type)
        return &types[0];
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(types[i].name, filler->type) == 0)
            return &types[i];
    return NULL;
}

enum status filler_check(const Caffe__FillerParameter *filler, const struct shape *shape, struct error *err)
{
    const struct filler_type *type = type_of(filler);
    if (!type)
        return error_set(err, INVALID,
                         "unknown filler type '%s': constant, uniform, gaussian, positive_unitball, xavier, "
                         "msra or bilinear is possible",
                         filler->type);
    if (filler && filler->sparse != -1 && type->fill != fill_gaussian)
        return error_set(err, INVALID, "%s filler: sparse is for the gaussian filler only", type->name);
    return type->check ? type->check(filler, shape, err) : OK;
}

void filler_fill(const Caffe__FillerParameter *filler, const struct shape *shape, struct rng *rng,
                 float *ret_values)
{
    type_of(filler)->fill(filler, shape, rng, ret_values);
}

bool filler_is_constant(const Caffe__FillerParameter *filler)
{
    void (*fill)(const Caffe__FillerParameter *, const struct shape *, struct rng *, float *) =
        type_of(filler)->fill;
    return fill == fill_constant || fill == fill_bilinear;
}
