/* solver_internal.h - what the files of the solver share: solver.c, solver_nets.c, solver_snapshot.c. */
#ifndef ET_SOLVER_INTERNAL_H
#define ET_SOLVER_INTERNAL_H

#include "engine/optimizer.h"
#include "engine/solver.h"
#include "engine/solver_state.h"

struct test_net {
    struct net *net;
    struct outputs means;
    struct state_position before; /* of the test that is running: where it began */
};

struct solver {
    const Caffe__SolverParameter *param;
    struct solver_options options;
    char *prefix; /* of snapshots, as the log shows it */
    struct net *net;
    struct outputs outputs;
    int n_tests;
    struct test_net *tests;
    struct param **learnable; /* every parameter once, in the order of definition */
    struct optimizer *optimizer;
    int64_t iteration; /* updates done */
    int64_t images;
    int64_t batch;   /* images of one forward pass */
    bool is_testing; /* or was, when a stop came */
    bool stop_asked;

    /* The last average_loss losses of this solve. */
    double *losses;
    int n_losses;
    double smoothed;
    int64_t start;
};

/* path below the solver's folder, unless it is absolute; for the caller to free. */
char *solver_path(const struct solver *s, const char *path);

/* ---- solver_nets.c ---- */

enum status solver_make_nets(struct solver *s, struct error *err);

/* ---- solver_snapshot.c ---- */

/* Settles the prefix and finds out whether it can be written. */
enum status solver_check_prefix(struct solver *s, struct error *err);

#endif
