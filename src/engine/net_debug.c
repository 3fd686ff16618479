#include "engine/net_debug.h"

#include <math.h>
#include <stdio.h>

#include "engine/caffe_log.h"
#include "engine/net_tail.h"

/* The running layer; NULL when nothing reached it behind a Filter. */
static const struct layer *running(const struct net *net, int layer)
{
    return tail_has_layer(net, layer) ? tail_layer(net, layer) : &net->layers[layer].layer;
}

/* Padding is 0 and adds nothing. */
static double sum_of_magnitudes(const float *values, size_t n)
{
    double sum = 0;
    for (size_t i = 0; values && i < n; i++)
        sum += (double)fabsf(values[i]);
    return sum;
}

static double mean_magnitude(const float *values, size_t n, const struct shape *shape)
{
    return sum_of_magnitudes(values, n) / (double)shape_count(shape);
}

static const float *gradient_of(const struct param *p)
{
    return p->diff_is_empty ? NULL : p->diff;
}

void net_debug_forward(const struct net *net, int layer)
{
    const struct layer_def *def = &net->def->layers[layer];
    const struct layer *l = running(net, layer);
    if (!l)
        return;
    for (int t = 0; t < l->n_tops; t++) {
        const struct view *top = &l->tops[t];
        struct shape shape;
        net_blob_shape(net, def->tops[t], &shape);
        /* A Filter's top holds what passed, from its start. */
        bool is_partial = shape_count(&shape) < shape_count(&top->shape);
        size_t n = is_partial ? (size_t)shape_count(&shape) : top->n_floats;
        caffe_log('I', "net.cpp:593", "    [Forward] Layer %s, top blob %s data: " CAFFE_FLOAT, def->name,
                  net->def->blobs[def->tops[t]].name, mean_magnitude(top->data, n, &shape));
    }
    for (int i = 0; i < l->n_params; i++) {
        const struct param *p = l->params[i];
        const char *name = net->def->params[def->params[i]].name;
        char number[16];
        snprintf(number, sizeof(number), "%d", i);
        caffe_log('I', "net.cpp:605", "    [Forward] Layer %s, param blob %s data: " CAFFE_FLOAT, def->name,
                  *name ? name : number, mean_magnitude(p->data, p->n_floats, &p->def->shape));
    }
}

void net_debug_backward(const struct net *net, int layer)
{
    const struct layer_def *def = &net->def->layers[layer];
    const struct layer *l = running(net, layer);
    if (!l || !def->needs_backward)
        return;
    for (int b = 0; b < l->n_bottoms; b++)
        if (def->propagate_down[b])
            caffe_log('I', "net.cpp:621", "    [Backward] Layer %s, bottom blob %s diff: " CAFFE_FLOAT,
                      def->name, net->def->blobs[def->bottoms[b]].name,
                      mean_magnitude(l->bottoms[b].diff, l->bottoms[b].n_floats, &l->bottoms[b].shape));
    for (int i = 0; i < l->n_params; i++) {
        const struct param *p = l->params[i];
        if (l->param_propagate_down[i])
            caffe_log('I', "net.cpp:632", "    [Backward] Layer %s, param blob %d diff: " CAFFE_FLOAT,
                      def->name, i, mean_magnitude(gradient_of(p), p->n_floats, &p->def->shape));
    }
}

static double sum_of_squares(const float *values, size_t n)
{
    double sum = 0;
    for (size_t i = 0; values && i < n; i++)
        sum += (double)values[i] * (double)values[i];
    return sum;
}

void net_debug_params(const struct net *net)
{
    double data = 0, diff = 0, data_squares = 0, diff_squares = 0;
    for (int i = 0; i < net->def->n_params; i++) {
        const struct param *p = net->params[i];
        if (net->def->params[i].owner != i)
            continue;
        data += sum_of_magnitudes(p->data, p->n_floats);
        diff += sum_of_magnitudes(gradient_of(p), p->n_floats);
        data_squares += sum_of_squares(p->data, p->n_floats);
        diff_squares += sum_of_squares(gradient_of(p), p->n_floats);
    }
    caffe_log('E', "net.cpp:721",
              "    [Backward] All net params (data, diff): L1 norm = (" CAFFE_FLOAT ", " CAFFE_FLOAT
              "); L2 norm = (" CAFFE_FLOAT ", " CAFFE_FLOAT ")",
              data, diff, sqrt(data_squares), sqrt(diff_squares));
}
