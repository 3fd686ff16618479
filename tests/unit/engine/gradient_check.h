/*
 * gradient_check.h - small nets from text for the tests of layers, and the
 * check of their gradients by finite differences.
 */
#ifndef ET_GRADIENT_CHECK_H
#define ET_GRADIENT_CHECK_H

#include "../test.h"
#include "engine/net.h"

/* A net from prototxt, phase TRAIN, seed 1, 2 threads, every blob kept; fails the test on an error. */
struct net *net_from_text(const char *prototxt);
struct net *net_from_text_with(const char *prototxt, const struct net_options *options, Caffe__Phase phase);

/* The same, when an error is expected; the message goes to err. */
enum status net_try_text(const char *prototxt, const struct net_options *options, Caffe__Phase phase,
                         struct net **ret_net, struct error *err);

/* Repeatable values, uniform in [low, high). */
void fill_random(uint64_t seed, float low, float high, int64_t n, float *values);

/* Index of a blob; fails the test when there is none. */
int blob_index(const struct net *net, const char *name);

/* Values of a blob, for the caller to free. */
float *blob_values(struct net *net, const char *name);
float *blob_diffs(struct net *net, const char *name);
/* Values or gradient of a parameter in Caffe's order, for the caller to free. */
float *param_values(struct net *net, int param);
float *param_diffs(struct net *net, int param);
void blob_set(struct net *net, const char *name, const float *values);
void param_set(struct net *net, int param, const float *values);

/* Random values for every blob of every Input layer. */
void fill_inputs(struct net *net, uint64_t seed, float low, float high);

/* Makes backward start from these gradients at a blob that nobody reads and that has a loss_weight. */
void set_top_diff(struct net *net, const char *name, const float *values);

/* Largest |a - b| over the largest |b| (at least 1e-6). */
double largest_difference(const float *a, const float *b, int64_t n);

/*
 * For f = sum of random weights x each top that has a loss_weight: compares
 * df/dv by backward with (f(v + step) - f(v - step)) / (2 step), for every
 * element v of every input blob that gets a gradient and every learned
 * parameter.  Inputs are uniform in [low, high).
 */
struct gradient_check {
    const char *prototxt;
    float low, high;
    float step;      /* 0: 1e-2 */
    float tolerance; /* of max(1, |derivative|); 0: 1e-2 */
};
void gradient_check(const struct gradient_check *check);

#endif
