/*
 * net_facts.h - a net looked at without running it: the shapes of its data,
 * its layers with their numbers, and what it will need of memory.
 */
#ifndef ET_NET_FACTS_H
#define ET_NET_FACTS_H

#include "base/problems.h"
#include "engine/net.h"
#include "netdef/state.h"

/* --input NAME=N,C,H,W: the shape of a top that comes from outside. */
struct input_shape {
    char *name;
    struct shape shape;
    bool is_used;
};

struct input_shapes {
    int n;
    struct input_shape *each;
};

/* INVALID with what would be right. */
enum status input_shapes_add(struct input_shapes *inputs, const char *text, struct error *err);
void input_shapes_release(struct input_shapes *inputs);

/*
 * The shapes of the layers that bring values in: as inputs say, else as the
 * source tells, which is opened.  A source that cannot be opened is noted in
 * `warnings` and left out.  Free ret_sources; names are lent by net.
 */
void sources_look(const Caffe__NetParameter *net, const struct netdef_options *state,
                  struct input_shapes *inputs, struct problems *warnings, struct source_shape **ret_sources,
                  int *ret_n);

/* ---- a layer's numbers ---- */

struct layer_facts {
    int64_t n_parameters;    /* of its own: what it shares counts with the owner */
    int64_t parameter_bytes; /* 4 each */
    int64_t top_bytes; /* of tops that are not in place, nor made by a Split; -1: a shape is not known */
    int64_t operations;
};

struct layer_facts layer_facts(const struct netdef *def, int layer);

/* "1.2 M", "431 k": three digits.  "1.6 MiB".  Return out. */
#define NUMBER_TEXT_MAX 24
const char *count_text(int64_t n, char out[NUMBER_TEXT_MAX]);
const char *bytes_text(int64_t bytes, char out[NUMBER_TEXT_MAX]);
/* "64 x 1 x 28 x 28", "scalar", "?". */
const char *dims_text(const struct shape *shape, char out[SHAPE_TEXT_MAX]);

/* ---- memory ---- */

/* Resident bytes of a process at its peak (VmHWM). */
struct peak {
    int64_t training, inference; /* -1: not known */
};

struct peak_options {
    int threads; /* 0: all processors */
    enum precision precision;
};

/*
 * What `et train` with these nets would take, and `et test` with the test net
 * and weights from a file.  solver NULL: SGD with momentum, no tests.
 * test_states: as many as the solver has tests.  Sources of every state are
 * looked for with `inputs`.  Fails where a plan cannot be made.
 */
enum status peak_estimate(const Caffe__NetParameter *net, const Caffe__SolverParameter *solver,
                          struct input_shapes *inputs, const struct peak_options *how, struct peak *ret_peak,
                          struct error *err);

/* The solver's state for the train net (test -1) or a test net: the net's own and the solver's. */
void solver_state_of(const Caffe__NetParameter *net, const Caffe__SolverParameter *solver, int test,
                     struct net_state *ret_state);

#endif
