/*
 * train_watch.h - what `et train` watches while the solver runs: signals,
 * the service's snapshots, and the lines of --progress-fd.
 *
 * A line of progress is one JSON object:
 *   {"iteration": 100, "max_iterations": 1000, "loss": 0.25, "lr": 0.01,
 *    "images_per_second": 5120.5, "outputs": {"loss": 0.25}}
 *   {"test": 0, "iteration": 100, "outputs": {"accuracy": 0.97, "loss": 0.1}}
 *   {"snapshot": {"iteration": 100, "model": "PATH", "state": "PATH", "service": true}}
 *   {"layer_times": [{"layer": "conv1", "type": "Convolution", "forward-us": 812.5, "backward-us": 1630.1},
 * ...]} Outputs of several elements are arrays; values that are not finite are the strings "NaN", "Infinity",
 * "-Infinity".
 */
#ifndef ET_TRAIN_WATCH_H
#define ET_TRAIN_WATCH_H

#include "cli/caffe_flags.h"

struct train_watch;

/* Takes over SIGINT, SIGHUP and SIGTERM.  One at a time in a process. */
struct train_watch *train_watch_new(const struct caffe_flags *flags);
/* Gives the signals back. */
void train_watch_free(struct train_watch *w);
void train_watch_freep(struct train_watch **w);

/* For solver_options; then tell the watch its solver. */
struct solver_watch train_watch_calls(struct train_watch *w);
void train_watch_begin(struct train_watch *w, struct solver *solver);

/* The service's snapshot of where the solver stands now, when one is wanted; a failure is logged. */
void train_watch_save(struct train_watch *w);

/* After the last iteration: says where the time went.  The solver is not watched any more. */
void train_watch_end(struct train_watch *w);

/* Which signal stopped the solver; 0: none. */
int train_watch_stopped_by(const struct train_watch *w);

#endif
