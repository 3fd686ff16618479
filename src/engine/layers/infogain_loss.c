/*
 * infogain_loss.c - cross entropy weighed by a matrix H over the classes
 *
 *   p = softmax(x);  loss = -sum over items and classes k of H[label][k] log p[k], divided as loss_param says
 *   dx[k] = (p[k] * sum(H[label]) - H[label][k]) / divisor
 *
 * H (classes, classes) is the third bottom, or a BlobProto in the file
 * infogain_loss_param.source.  A second top gets p.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/layers/layer_util.h"
#include "engine/layers/loss.h"
#include "engine/layers/softmax.h"
#include "engine/plan.h"

#define SOURCE_MAX_BYTES (256u << 20)
#define LEAST            1e-20f

struct infogain {
    struct around of;
    struct ignored ignored;
    Caffe__LossParameter__NormalizationMode mode;
    float *matrix;  /* of the file; NULL: the third bottom */
    double divisor; /* of the last forward pass */
};

static void blob_freep(Caffe__BlobProto **blob)
{
    if (*blob)
        caffe__blob_proto__free_unpacked(*blob, NULL);
}

static enum status read_matrix(const char *folder, const char *source, size_t n, float **ret_matrix,
                               struct error *err)
{
    CLEANUP(freep) char *path = folder && source[0] != '/' ? path_join(folder, source) : xstrdup(source);
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    TRY(file_read(path, SOURCE_MAX_BYTES, &bytes, &size, err));
    CLEANUP(blob_freep)
    Caffe__BlobProto *blob = caffe__blob_proto__unpack(NULL, size, (const uint8_t *)bytes);
    if (!blob || (blob->n_data != n * n && blob->n_double_data != n * n))
        return error_set(err, INVALID, "'%s' is no matrix of %zu x %zu", path, n, n);
    float *matrix = xcalloc(n * n, sizeof(float));
    for (size_t i = 0; i < n * n; i++)
        matrix[i] = blob->n_data ? blob->data[i] : (float)blob->double_data[i];
    *ret_matrix = matrix;
    return OK;
}

static enum status infogain_setup(struct layer *l, struct error *err)
{
    struct infogain *s = l->state;
    const Caffe__InfogainLossParameter *p = LAYER_PARAM(l, Caffe__InfogainLossParameter, infogain_loss_param,
                                                        CAFFE__INFOGAIN_LOSS_PARAMETER__INIT);
    const Caffe__LossParameter *loss = l->def->param->loss_param;
    if (loss && loss->has_normalize)
        return error_set(err, INVALID,
                         "InfogainLoss takes loss_param.normalization, not the older normalize");
    s->of = shape_around(&l->bottoms[0].shape, shape_axis(&l->bottoms[0].shape, p->axis));
    s->ignored = (struct ignored){loss && loss->has_ignore_label, loss ? loss->ignore_label : 0};
    s->mode = loss_normalization(loss, CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__VALID);
    if ((size_t)shape_count(&l->bottoms[1].shape) != s->of.outer * s->of.inner)
        return error_set(err, INVALID, "%lld labels for %zu items",
                         (long long)shape_count(&l->bottoms[1].shape), s->of.outer * s->of.inner);
    if (l->n_bottoms > 2) {
        if ((size_t)shape_count(&l->bottoms[2].shape) != s->of.n * s->of.n)
            return error_set(err, INVALID, "the infogain matrix must be %zu x %zu", s->of.n, s->of.n);
        return OK;
    }
    if (!p->source)
        return error_set(err, INVALID, "needs infogain_loss_param.source, or the matrix as a third bottom");
    return read_matrix(l->folder, p->source, s->of.n, &s->matrix, err);
}

static enum status infogain_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    plan_workspace(p, (size_t)shape_count(&l->bottoms[0].shape) * sizeof(float));
    return OK;
}

static const float *matrix_of(const struct layer *l)
{
    const struct infogain *s = l->state;
    return s->matrix ? s->matrix : l->bottoms[2].data;
}

static enum status infogain_forward(struct layer *l, struct error *err)
{
    struct infogain *s = l->state;
    const struct around of = s->of;
    const float *matrix = matrix_of(l);
    float *p = l->workspace;
    size_t n_valid = 0;
    double sum = 0;
    softmax_rows((int64_t)of.outer, (int64_t)of.n, (int64_t)of.inner, l->bottoms[0].data, p);
    for (size_t item = 0; item < of.outer * of.inner; item++) {
        float value = l->bottoms[1].data[item];
        size_t first = item / of.inner * of.n * of.inner + item % of.inner;
        int label = 0;
        if (is_ignored(s->ignored, value))
            continue;
        TRY(label_read(value, of.n, &label, err));
        for (size_t k = 0; k < of.n; k++)
            sum -= matrix[(size_t)label * of.n + k] * log(fmaxf(p[first + k * of.inner], LEAST));
        n_valid++;
    }
    s->divisor = loss_divisor(s->mode, of.outer, of.inner, n_valid);
    l->tops[0].data[0] = (float)(sum / s->divisor);
    if (l->n_tops > 1)
        memcpy(l->tops[1].data, p, of.outer * of.n * of.inner * sizeof(float));
    return OK;
}

static void infogain_backward(struct layer *l)
{
    const struct infogain *s = l->state;
    const struct around of = s->of;
    const float *matrix = matrix_of(l), *p = l->workspace;
    float *dx = l->bottoms[0].diff;
    float scale = (float)(l->tops[0].diff[0] / s->divisor);
    for (size_t item = 0; dx && item < of.outer * of.inner; item++) {
        float value = l->bottoms[1].data[item];
        size_t first = item / of.inner * of.n * of.inner + item % of.inner;
        bool counts = !is_ignored(s->ignored, value);
        const float *row = matrix + (counts ? (size_t)value : 0) * of.n;
        float total = 0;
        for (size_t k = 0; k < of.n; k++)
            total += row[k];
        for (size_t k = 0; k < of.n; k++) {
            size_t at = first + k * of.inner;
            dx[at] = counts ? scale * (p[at] * total - row[k]) : 0;
        }
    }
}

static void infogain_release(struct layer *l)
{
    free(((struct infogain *)l->state)->matrix);
}

const struct layer_ops layer_infogain_loss = {
    .type = "InfogainLoss",
    .state_size = sizeof(struct infogain),
    .backward_needs = NEEDS_BOTTOM_DATA,
    .setup = infogain_setup,
    .plan = infogain_plan,
    .forward = infogain_forward,
    .backward = infogain_backward,
    .release = infogain_release,
};
