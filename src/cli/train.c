/* train.c - `et train`: Caffe's `caffe train`. */
#include <signal.h>

#include "cli/caffe_flags.h"
#include "cli/commands.h"
#include "cli/train_watch.h"
#include "engine/caffe_log.h"

static const char help[] =
    "usage: et train --solver=FILE [flags]\n\n"
    "Trains a net as Caffe does; the log goes to stderr.\n\n"
    "  --solver=FILE       the solver (prototxt)\n"
    "  --weights=F,F       weights to start from (.caffemodel, .caffemodel.h5)\n"
    "  --snapshot=FILE     go on from a .solverstate or .solverstate.h5\n"
    "  --sigint_effect=E   on SIGINT: stop (with a snapshot), snapshot, none; default stop\n"
    "  --sighup_effect=E   on SIGHUP; default snapshot\n" CAFFE_FLAGS_HELP CAFFE_EXTENSIONS_HELP
    "  --sigterm_effect=E  on SIGTERM; default stop, with exit status 1\n"
    "  --service-snapshot=PREFIX  keep the latest state in PREFIX.caffemodel and PREFIX.solverstate\n"
    "  --snapshot-every=N  write these every N seconds, and when stopped\n"
    "  --progress-fd=N     write progress as JSON lines to this open file\n"
    "\nexample:\n"
    "  et train --solver=lenet_solver.prototxt\n";

static void solver_parameter_freep(Caffe__SolverParameter **p)
{
    if (*p)
        caffe__solver_parameter__free_unpacked(*p, NULL);
}

static enum status train(const struct caffe_flags *f, struct train_watch *watch, struct error *err)
{
    CLEANUP(solver_parameter_freep) Caffe__SolverParameter *param = NULL;
    TRY(solver_read_file(f->solver, &param, err));
    caffe_flags_log_device(f, param->has_solver_mode &&
                                  param->solver_mode == CAFFE__SOLVER_PARAMETER__SOLVER_MODE__GPU);
    struct buf text;
    buf_init(&text, 1 << 20);
    message_print_text(&param->base, &text);
    caffe_log('I', "solver.cpp:45", "Initializing solver from parameters: \n%s", text.data);
    buf_release(&text);

    const struct solver_options options = {
        .param = param,
        .solver_path = f->solver,
        .weights = f->snapshot ? "" : f->weights,
        .threads = f->threads,
        .precision = f->precision,
        .level = f->level,
        .n_stages = f->n_stages,
        .stages = f->stages,
        .watch = train_watch_calls(watch),
    };
    CLEANUP(solver_freep) struct solver *solver = NULL;
    TRY(solver_create(&options, &solver, err));
    if (f->snapshot) {
        caffe_log('I', "caffe.cpp:235", "Resuming from %s", f->snapshot);
        TRY(solver_restore(solver, f->snapshot, err));
    }
    train_watch_begin(watch, solver);
    caffe_log('I', "caffe.cpp:239", "Starting Optimization");
    enum status status = solver_solve(solver, err);
    train_watch_end(watch);
    if (status == CANCELLED)
        train_watch_save(watch);
    return status;
}

int command_train(int argc, char **argv)
{
    CLEANUP(caffe_flags_release) struct caffe_flags f = {0};
    int end = caffe_flags_read("train", help, argc, argv, &f);
    if (end >= 0)
        return end;
    if (!f.solver)
        return command_usage("train", "train needs --solver");
    if (f.snapshot && f.weights)
        return command_usage("train", "give --snapshot to go on or --weights to start from, not both");
    struct error err;
    CLEANUP(train_watch_freep) struct train_watch *watch = train_watch_new(&f);
    enum status status = train(&f, watch, &err);
    /* Caffe counts a stop by SIGINT or SIGHUP as a good end. */
    if (status == OK || (status == CANCELLED && train_watch_stopped_by(watch) != SIGTERM)) {
        caffe_log('I', "caffe.cpp:250", "Optimization Done.");
        return EXIT_DONE;
    }
    return command_fail(&err);
}
