/*
 * solver_state.h - what a solver needs beside the weights to go on: Caffe's
 * .solverstate (binary SolverState) and .solverstate.h5.
 *
 * Our own addition, the positions of the nets, travels where Caffe's reader
 * does not look: field et_position of the message, datasets et_position/0..n-1
 * of the HDF5 file.  A state that Caffe wrote has none.
 */
#ifndef ET_SOLVER_STATE_H
#define ET_SOLVER_STATE_H

#include "netdef/netdef.h"

/* A parameter's history in plain order; the values are the state's own.  NULL: see solver_state.history. */
struct state_history {
    struct shape shape;
    float *values;
};

/* Position of one net, as net_save_position gives it. */
struct state_position {
    char *bytes;
    size_t size;
};

struct solver_state {
    int64_t iteration; /* updates done */
    int current_step;
    char *learned_net; /* path of the weights; NULL: none named */
    int n_histories;
    struct state_history *histories;
    /* To be written: copies the values of a history that has none here, so that one at a time is a copy. */
    void (*history)(void *context, int index, float *ret_values);
    void *context;
    int n_positions;
    struct state_position *positions;
};

void solver_state_release(struct solver_state *s);

/* Histories of the given number, all empty, for the caller to fill. */
void solver_state_make_histories(struct solver_state *s, int n);
void solver_state_make_positions(struct solver_state *s, int n);

/* The values of a history, for the caller to free. */
float *solver_state_dup_history(const struct solver_state *s, int index);

/* Whether a file of this name is HDF5: it ends in ".h5". */
bool solver_state_is_hdf5(const char *path);

/*
 * Written through a temporary name; the form follows the name.
 * Errors: TOO_LARGE (over 2 GiB in binary form), NO_SPACE, FAILED.
 */
enum status solver_state_write(const struct solver_state *s, const char *path, struct error *err);

/*
 * Release ret_state on OK only.
 * Errors: NOT_FOUND; INVALID for a file that is no solver state or whose
 * parts do not fit together.
 */
enum status solver_state_read(const char *path, struct solver_state *ret_state, struct error *err);

#endif
