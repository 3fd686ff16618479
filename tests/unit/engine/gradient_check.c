#include "gradient_check.h"

#include <math.h>

#include "engine/net_internal.h"

enum status net_try_text(const char *prototxt, const struct net_options *options, Caffe__Phase phase,
                         struct net **ret_net, struct error *err)
{
    Caffe__NetParameter *param = NULL;
    TRY(net_read_text(prototxt, strlen(prototxt), "test", &param, err));
    struct netdef_options state = {.phase = phase};
    enum status status = net_create(param, &state, options, ret_net, err);
    caffe__net_parameter__free_unpacked(param, NULL);
    return status;
}

struct net *net_from_text_with(const char *prototxt, const struct net_options *options, Caffe__Phase phase)
{
    struct error err = {0};
    struct net *net = NULL;
    assert_ok(net_try_text(prototxt, options, phase, &net, &err));
    return net;
}

struct net *net_from_text(const char *prototxt)
{
    struct net_options options = {.threads = 2, .seed = 1, .keep_blobs = true};
    return net_from_text_with(prototxt, &options, CAFFE__PHASE__TRAIN);
}

void fill_random(uint64_t seed, float low, float high, int64_t n, float *values)
{
    struct rng rng;
    rng_seed(&rng, seed);
    for (int64_t i = 0; i < n; i++)
        values[i] = (float)(low + (high - low) * rng_uniform(&rng));
}

int blob_index(const struct net *net, const char *name)
{
    int blob = netdef_find_blob(net_def(net), name);
    if (blob < 0)
        fail_msg("no blob '%s'", name);
    return blob;
}

static int64_t blob_count(const struct net *net, int blob)
{
    return shape_count(&net_def(net)->blobs[blob].shape);
}

float *blob_values(struct net *net, const char *name)
{
    int blob = blob_index(net, name);
    float *values = xcalloc((size_t)blob_count(net, blob) + 1, sizeof(float));
    net_blob_read(net, blob, values);
    return values;
}

float *blob_diffs(struct net *net, const char *name)
{
    int blob = blob_index(net, name);
    float *values = xcalloc((size_t)blob_count(net, blob) + 1, sizeof(float));
    assert_true(net_blob_diff_read(net, blob, values));
    return values;
}

static int64_t param_count(const struct param *p)
{
    return shape_count(&p->def->shape);
}

float *param_values(struct net *net, int param)
{
    struct param *p = net_param(net, param);
    float *values = xcalloc((size_t)param_count(p) + 1, sizeof(float));
    param_export(p, p->data, values);
    return values;
}

float *param_diffs(struct net *net, int param)
{
    struct param *p = net_param(net, param);
    float *values = xcalloc((size_t)param_count(p) + 1, sizeof(float));
    if (!p->diff_is_empty)
        param_export(p, p->diff, values);
    return values;
}

void blob_set(struct net *net, const char *name, const float *values)
{
    net_blob_write(net, blob_index(net, name), values);
}

void param_set(struct net *net, int param, const float *values)
{
    struct param *p = net_param(net, param);
    param_import(p, values, p->data);
    p->version++;
}

static bool is_input(const struct net *net, int blob)
{
    const struct netdef *def = net_def(net);
    return strcmp(def->layers[def->blobs[blob].producer].type->name, "Input") == 0;
}

void fill_inputs(struct net *net, uint64_t seed, float low, float high)
{
    for (int i = 0; i < net_def(net)->n_blobs; i++) {
        if (!is_input(net, i))
            continue;
        int64_t n = blob_count(net, i);
        CLEANUP(freep) float *values = xcalloc((size_t)n + 1, sizeof(float));
        fill_random(seed + (uint64_t)i, low, high, n, values);
        net_blob_write(net, i, values);
    }
}

void set_top_diff(struct net *net, const char *name, const float *values)
{
    const struct value *value = &net->values[net->blob_value[blob_index(net, name)]];
    struct view *view = &net->layers[value->producer].layer.tops[value->top];
    assert_non_null(view->diff);
    dnnl_memory_desc_t plain;
    desc_plain(&view->shape, &plain);
    struct error err;
    assert_ok(kernel_convert(&plain, values, &view->diff_desc, view->diff, &err));
}

double largest_difference(const float *a, const float *b, int64_t n)
{
    double difference = 0, size = 1e-6;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);
        difference = d > difference || isnan(d) ? d : difference;
        size = fmax(size, fabs(b[i]));
    }
    return difference / size;
}

/* ---- finite differences ---- */

struct weighted {
    int blob;
    int64_t n;
    float *weights;
};

struct checked {
    struct net *net;
    int n_tops;
    struct weighted *tops;
};

static void weigh_tops(struct checked *c)
{
    const struct netdef *def = net_def(c->net);
    c->tops = xcalloc((size_t)def->n_blobs, sizeof(*c->tops));
    for (int i = 0; i < def->n_layers; i++) {
        for (int t = 0; t < def->layers[i].n_tops; t++) {
            if (def->layers[i].loss_weights[t] == 0)
                continue;
            int blob = def->layers[i].tops[t];
            int64_t n = blob_count(c->net, blob);
            float *weights = xcalloc((size_t)n + 1, sizeof(float));
            fill_random(100 + (uint64_t)blob, -1, 1, n, weights);
            c->tops[c->n_tops++] = (struct weighted){blob, n, weights};
            set_top_diff(c->net, def->blobs[blob].name, weights);
        }
    }
    assert_true(c->n_tops > 0);
}

static double objective(struct checked *c)
{
    struct error err = {0};
    assert_ok(net_forward(c->net, NULL, &err));
    double sum = 0;
    for (int i = 0; i < c->n_tops; i++) {
        const struct weighted *w = &c->tops[i];
        CLEANUP(freep) float *values = xcalloc((size_t)w->n + 1, sizeof(float));
        net_blob_read(c->net, w->blob, values);
        for (int64_t j = 0; j < w->n; j++)
            sum += (double)w->weights[j] * values[j];
    }
    return sum;
}

typedef void setter(struct net *net, int index, const float *values);

static void set_input(struct net *net, int index, const float *values)
{
    net_blob_write(net, index, values);
}

static void check_elements(struct checked *c, const struct gradient_check *check, const char *what,
                           setter *set, int index, float *values, const float *derivatives, int64_t n)
{
    double step = check->step > 0 ? check->step : 1e-2;
    double tolerance = check->tolerance > 0 ? check->tolerance : 1e-2;
    for (int64_t i = 0; i < n; i++) {
        float before = values[i];
        values[i] = (float)(before + step);
        set(c->net, index, values);
        double up = objective(c);
        values[i] = (float)(before - step);
        set(c->net, index, values);
        double down = objective(c);
        values[i] = before;
        double expected = (up - down) / (2 * step);
        if (!(fabs(expected - derivatives[i]) <= tolerance * fmax(1, fabs(expected))))
            fail_msg("%s %d, element %lld: the derivative is %g, backward says %g", what, index, (long long)i,
                     expected, derivatives[i]);
    }
    set(c->net, index, values);
}

void gradient_check(const struct gradient_check *check)
{
    struct checked c = {.net = net_from_text(check->prototxt)};
    const struct netdef *def = net_def(c.net);
    fill_inputs(c.net, 7, check->low, check->high);
    weigh_tops(&c);
    objective(&c);
    net_clear_diffs(c.net);
    net_backward(c.net);
    int n_checked = 0;
    for (int b = 0; b < def->n_blobs; b++) {
        int64_t n = blob_count(c.net, b);
        CLEANUP(freep) float *diffs = xcalloc((size_t)n + 1, sizeof(float));
        CLEANUP(freep) float *values = xcalloc((size_t)n + 1, sizeof(float));
        if (!is_input(c.net, b) || !net_blob_diff_read(c.net, b, diffs))
            continue;
        net_blob_read(c.net, b, values);
        check_elements(&c, check, "blob", set_input, b, values, diffs, n);
        n_checked++;
    }
    for (int p = 0; p < net_n_params(c.net); p++) {
        struct param *param = net_param(c.net, p);
        if (def->params[p].owner != p || def->params[p].lr_mult == 0)
            continue;
        CLEANUP(freep) float *diffs = param_diffs(c.net, p);
        CLEANUP(freep) float *values = param_values(c.net, p);
        check_elements(&c, check, "param", param_set, p, values, diffs, param_count(param));
        n_checked++;
    }
    assert_true(n_checked > 0);
    for (int i = 0; i < c.n_tops; i++)
        free(c.tops[i].weights);
    free(c.tops);
    net_free(c.net);
}
