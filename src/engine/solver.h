/*
 * solver.h - trains a net: rate policy, clipping, regularisation, iter_size,
 * tests and snapshots, written once; an update rule is one file of solvers/.
 *
 *   solver_create (nets, weights) -> solver_restore -> solver_solve
 *
 * Everything that Caffe's tools say is said here, as log lines on stderr;
 * struct solver_watch tells the same to a program.
 */
#ifndef ET_SOLVER_H
#define ET_SOLVER_H

#include "engine/net.h"
#include "engine/outputs.h"

struct solver;

enum solver_action {
    SOLVER_GO_ON,
    SOLVER_SNAPSHOT, /* now, and go on */
    SOLVER_STOP,     /* leave the loop; a snapshot follows unless snapshot_after_train is false */
};

struct solver_progress {
    int64_t iteration; /* updates done */
    int64_t max_iterations;
    double loss;    /* smoothed over average_loss iterations, before the last update */
    double rate;    /* of the last update */
    int64_t images; /* seen by the train net since solver_create */
    bool displayed; /* the log has just shown it */
};

/* What surrounds a running solver.  Every function may be NULL; all are called on the solver's thread. */
struct solver_watch {
    /* After every iteration and between the batches of a test. */
    enum solver_action (*poll)(void *context, bool testing);
    /* After every iteration; solver_outputs() has the outputs of its forward pass. */
    void (*trained)(void *context, const struct solver_progress *progress);
    /* After a test: means over its batches. */
    void (*tested)(void *context, int test, int64_t iteration, const struct outputs *means);
    /* When a snapshot is on disk. */
    void (*snapshotted)(void *context, const char *model, const char *state, int64_t iteration);
    void *context;
};

struct solver_options {
    const Caffe__SolverParameter *param; /* lent for the solver's life */
    const char *solver_path;             /* for the default snapshot prefix; may be NULL */
    const char *folder;                  /* relative names start here; NULL: current folder */
    const char *weights; /* comma-separated files, instead of param's; NULL: param's, "": none */
    int threads;         /* 0: all processors */
    enum precision precision;
    int level; /* --level: overwrites that of train_state */
    int n_stages;
    const char *const *stages; /* --stage: added to those of train_state */
    struct solver_watch watch;
};

/*
 * Makes the train net and the test nets and loads weights.
 * Errors: INVALID for settings that make no sense, a net that does not fit,
 * a snapshot prefix that cannot be written; NOT_FOUND for missing files.
 */
enum status solver_create(const struct solver_options *options, struct solver **ret_solver,
                          struct error *err);
void solver_free(struct solver *s);
void solver_freep(struct solver **s);

/*
 * Goes on from a snapshot.  The weights are those that the state names,
 * else the file of the same name beside the state.
 * Errors: INVALID when histories or weights do not fit the net.
 */
enum status solver_restore(struct solver *s, const char *solverstate_path, struct error *err);

/*
 * Runs to max_iter.  Errors: CANCELLED when poll said stop; INVALID when the
 * loss is not finite (no snapshot is written then); those of reading data
 * and writing snapshots.
 */
enum status solver_solve(struct solver *s, struct error *err);

/* PREFIX_iter_N.caffemodel and .solverstate (or their .h5 forms), with Caffe's log lines. */
enum status solver_snapshot(struct solver *s, struct error *err);

/*
 * The same in binary form under names of the caller's, silently: model first,
 * then state, each through a temporary name.
 */
enum status solver_save(struct solver *s, const char *model, const char *state, struct error *err);

struct net *solver_net(struct solver *s);
int64_t solver_iteration(const struct solver *s);
/* The train net's outputs of the last forward pass.  Lent until the next call. */
const struct outputs *solver_outputs(struct solver *s);

#endif
