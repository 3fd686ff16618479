/*
 * solver.h - trains a net: rate policy, clipping, regularisation, iter_size,
 * tests and snapshots, written once; an update rule is one file of solvers/.
 */
#ifndef ET_SOLVER_H
#define ET_SOLVER_H

#include "engine/net.h"

struct solver;

/* What a running solver asks of its surroundings, once an iteration. */
enum solver_action { SOLVER_GO_ON, SOLVER_SNAPSHOT, SOLVER_STOP /* with a snapshot */ };

struct solver_options {
    const Caffe__SolverParameter *param; /* lent for the solver's life */
    const char *solver_path;             /* for the default snapshot prefix; may be NULL */
    const char *folder;                  /* relative names start here; NULL: current folder */
    int threads;                         /* 0: all processors */
    int level;                           /* --level */
    int n_stages;
    const char *const *stages;           /* --stage */
    /* Called after every iteration; may be NULL. */
    enum solver_action (*poll)(void *context, int64_t iteration, double loss);
    /* Called after a snapshot is on disk; may be NULL. */
    void (*snapshotted)(void *context, const char *model, const char *state, int64_t iteration);
    void *context;
};

enum status solver_create(const struct solver_options *options, struct solver **ret_solver, struct error *err);
void solver_free(struct solver *s);
void solver_freep(struct solver **s);

enum status solver_load_weights(struct solver *s, const char *comma_separated_paths, struct error *err);
enum status solver_restore(struct solver *s, const char *solverstate_path, struct error *err);

/* Runs to max_iter, printing Caffe's lines.  CANCELLED when poll said stop; INVALID when the loss is not finite. */
enum status solver_solve(struct solver *s, struct error *err);

/* PREFIX_iter_N.caffemodel and .solverstate (or their .h5 forms). */
enum status solver_snapshot(struct solver *s, struct error *err);

struct net *solver_net(struct solver *s);
int64_t solver_iteration(const struct solver *s);

#endif
