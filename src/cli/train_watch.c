#include "cli/train_watch.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/layer_times.h"
#include "engine/caffe_log.h"

#define PROGRESS_EVERY_MS 200

struct train_watch {
    const struct caffe_flags *flags;
    struct solver *solver;
    struct layer_times *times; /* NULL: nobody wants to know */
    int stopped_by;
    int64_t saved_at_ms;
    int64_t saved_iteration;
    int64_t said_at_ms;
    int64_t said_images;
    bool is_deaf; /* nobody reads progress any more */
};

/* ---- signals ---- */

static volatile sig_atomic_t got_sigint, got_sighup, got_sigterm;

static void note_signal(int number)
{
    if (number == SIGINT)
        got_sigint = 1;
    else if (number == SIGHUP)
        got_sighup = 1;
    else
        got_sigterm = 1;
}

static void set_handlers(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static enum solver_action take_signal(struct train_watch *w)
{
    const struct {
        volatile sig_atomic_t *got;
        int number;
        enum solver_action action;
    } signals[] = {
        {&got_sigterm, SIGTERM, w->flags->on_sigterm},
        {&got_sighup, SIGHUP, w->flags->on_sighup},
        {&got_sigint, SIGINT, w->flags->on_sigint},
    };
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        if (!*signals[i].got)
            continue;
        *signals[i].got = 0;
        if (signals[i].action == SOLVER_STOP)
            w->stopped_by = signals[i].number;
        return signals[i].action;
    }
    return SOLVER_GO_ON;
}

/* ---- lines of progress ---- */

/* A reader that has gone away costs the progress, not the training. */
static void say(struct train_watch *w, json_t *line)
{
    CLEANUP(json_decrefp) json_t *owned = line;
    if (w->flags->progress_fd < 0 || w->is_deaf)
        return;
    CLEANUP(freep) char *text = json_text(owned);
    CLEANUP(freep) char *whole = xasprintf("%s\n", text);
    size_t size = strlen(whole);
    for (size_t done = 0; done < size;) {
        ssize_t n = write(w->flags->progress_fd, whole + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            w->is_deaf = true;
            return;
        }
        done += (size_t)n;
    }
}

static json_t *json_of(double value)
{
    if (isnan(value))
        return json_string("NaN");
    if (isinf(value))
        return json_string(value > 0 ? "Infinity" : "-Infinity");
    return json_real(value);
}

static json_t *json_of_outputs(const struct outputs *o)
{
    json_t *object = json_object();
    const float *at = o->values;
    for (int i = 0; i < o->n; at += o->each[i++].n) {
        if (o->each[i].n == 1) {
            json_object_set_new(object, o->each[i].name, json_of(*at));
            continue;
        }
        json_t *array = json_array();
        for (size_t k = 0; k < o->each[i].n; k++)
            json_array_append_new(array, json_of(at[k]));
        json_object_set_new(object, o->each[i].name, array);
    }
    return object;
}

static void on_trained(void *context, const struct solver_progress *progress)
{
    struct train_watch *w = context;
    int64_t now_ms = clock_monotonic_ms();
    bool is_last = progress->iteration == progress->max_iterations;
    if (w->flags->progress_fd < 0 ||
        (!progress->displayed && !is_last && now_ms - w->said_at_ms < PROGRESS_EVERY_MS))
        return;
    double seconds = (double)MAX(now_ms - w->said_at_ms, 1) / 1000;
    json_t *line = json_object();
    json_object_set_new(line, "iteration", json_integer(progress->iteration));
    json_object_set_new(line, "max_iterations", json_integer(progress->max_iterations));
    json_object_set_new(line, "loss", json_of(progress->loss));
    json_object_set_new(line, "lr", json_of(progress->rate));
    json_object_set_new(line, "images_per_second",
                        json_of((double)(progress->images - w->said_images) / seconds));
    json_object_set_new(line, "outputs", json_of_outputs(solver_outputs(w->solver)));
    w->said_at_ms = now_ms;
    w->said_images = progress->images;
    say(w, line);
}

static void on_tested(void *context, int test, int64_t iteration, const struct outputs *means)
{
    json_t *line = json_object();
    json_object_set_new(line, "test", json_integer(test));
    json_object_set_new(line, "iteration", json_integer(iteration));
    json_object_set_new(line, "outputs", json_of_outputs(means));
    say(context, line);
}

static void say_snapshot(struct train_watch *w, const char *model, const char *state, int64_t iteration,
                         bool is_service)
{
    json_t *snapshot = json_object();
    json_object_set_new(snapshot, "iteration", json_integer(iteration));
    json_object_set_new(snapshot, "model", json_string(model));
    json_object_set_new(snapshot, "state", json_string(state));
    json_object_set_new(snapshot, "service", json_boolean(is_service));
    json_t *line = json_object();
    json_object_set_new(line, "snapshot", snapshot);
    say(w, line);
}

static void on_snapshotted(void *context, const char *model, const char *state, int64_t iteration)
{
    say_snapshot(context, model, state, iteration, false);
}

/* ---- the service's snapshots ---- */

void train_watch_save(struct train_watch *w)
{
    w->saved_at_ms = clock_monotonic_ms();
    if (!w->flags->service_snapshot || w->saved_iteration == solver_iteration(w->solver))
        return;
    struct error err;
    CLEANUP(freep) char *model = xasprintf("%s.caffemodel", w->flags->service_snapshot);
    CLEANUP(freep) char *state = xasprintf("%s.solverstate", w->flags->service_snapshot);
    if (solver_save(w->solver, model, state, &err) != OK) {
        caffe_log('W', "caffe.cpp:232", "The service's snapshot is not written: %s", err.message);
        return;
    }
    w->saved_iteration = solver_iteration(w->solver);
    say_snapshot(w, model, state, w->saved_iteration, true);
}

static enum solver_action on_poll(void *context, bool testing)
{
    struct train_watch *w = context;
    int64_t every_ms = (int64_t)w->flags->snapshot_every_s * 1000;
    if (!testing && every_ms && clock_monotonic_ms() - w->saved_at_ms >= every_ms)
        train_watch_save(w);
    return take_signal(w);
}

/* ---- life ---- */

struct train_watch *train_watch_new(const struct caffe_flags *flags)
{
    struct train_watch *w = xcalloc(1, sizeof(*w));
    w->flags = flags;
    got_sigint = got_sighup = got_sigterm = 0;
    set_handlers(note_signal);
    if (flags->progress_fd >= 0)
        signal(SIGPIPE, SIG_IGN);
    return w;
}

void train_watch_free(struct train_watch *w)
{
    if (!w)
        return;
    set_handlers(SIG_DFL);
    free(w);
}

void train_watch_freep(struct train_watch **w)
{
    train_watch_free(*w);
    *w = NULL;
}

struct solver_watch train_watch_calls(struct train_watch *w)
{
    return (struct solver_watch){
        .poll = on_poll,
        .trained = on_trained,
        .tested = on_tested,
        .snapshotted = on_snapshotted,
        .context = w,
    };
}

void train_watch_begin(struct train_watch *w, struct solver *solver)
{
    w->solver = solver;
    w->saved_iteration = solver_iteration(solver);
    w->saved_at_ms = w->said_at_ms = clock_monotonic_ms();
    if (w->flags->progress_fd >= 0)
        w->times = layer_times_new(solver_net(solver));
}

void train_watch_end(struct train_watch *w)
{
    if (!w->times)
        return;
    json_t *line = json_object();
    json_object_set_new(line, "layer_times", layer_times_json(w->times));
    layer_times_free(TAKE(w->times));
    say(w, line);
}

int train_watch_stopped_by(const struct train_watch *w)
{
    return w->stopped_by;
}
