/*
 * progress.h - the lines that `et train --progress-fd` writes, understood:
 *   {"iteration": 100, "max_iterations": 1000, "loss": 0.25, "lr": 0.01, "images_per_second": 5120.5,
 * "outputs": {...}}
 *   {"test": 0, "iteration": 100, "outputs": {"accuracy": 0.97, "loss": 0.1}}
 *   {"snapshot": {"iteration": 100, "model": "PATH", "state": "PATH", "service": true}}
 *   {"layer_times": [{"layer": "conv1", "type": "Convolution", "forward-us": 812.5, "backward-us": 1630.1}]}
 *
 * Metrics: "loss", "lr", "images_per_second"; of a test "test/accuracy", of
 * further test nets "test1/accuracy"; elements of an output "test/x.0".
 */
#ifndef ET_PROGRESS_H
#define ET_PROGRESS_H

#include "base/json.h"

struct progress_sink {
    void (*metric)(void *context, const char *name, int64_t step, double value);
    void (*progress)(void *context,
                     json_t *progress); /* taken: {"iteration", "max_iterations", "loss", ...} */
    void (*snapshot)(void *context, const char *model, const char *state, bool service);
    void *context;
};

struct progress {
    struct progress_sink sink;
    json_t *latest;  /* what was last given to sink.progress */
    double accuracy; /* of the first test net's last test */
    bool has_accuracy;
    json_t *layer_times; /* NULL until told, at the end */
};

void progress_init(struct progress *p, const struct progress_sink *sink);
void progress_release(struct progress *p);

/* One line.  One that is not understood is passed over: it is our own child that speaks. */
void progress_line(struct progress *p, const char *line);

#endif
