/* time.c - `et time`: Caffe's `caffe time`, how long each layer takes. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/caffe_flags.h"
#include "cli/commands.h"
#include "cli/layer_times.h"
#include "engine/caffe_log.h"

static const char help[] =
    "usage: et time --model=FILE [flags]\n\n"
    "Runs a net forward and backward and prints how long each layer takes.\n\n"
    "  --model=FILE        the net (prototxt)\n"
    "  --weights=F,F       its weights; random without\n"
    "  --phase=PHASE       TRAIN (default) or TEST\n"
    "  --iterations=N      passes to run (50)\n" CAFFE_FLAGS_HELP CAFFE_EXTENSIONS_HELP
    "  --trace=FILE        write a span for each layer and reorder, for Chrome's and Perfetto's viewers\n"
    "\nexample:\n"
    "  et time --model=lenet_train_test.prototxt --iterations=100\n"
    "  et time --model=lenet_train_test.prototxt --iterations=5 --trace=lenet.json\n";

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Microseconds, summed over all passes. */
struct times {
    double *forward, *backward; /* a layer */
    double all_forward, all_backward;
};

static void times_release(struct times *t)
{
    free(t->forward);
    free(t->backward);
}

static enum status time_pass(struct net *net, struct times *t, struct error *err)
{
    int n_layers = net_def(net)->n_layers;
    double begin = now_us(), last = begin;
    for (int i = 0; i < n_layers; i++) {
        TRY(net_forward_layer(net, i, err));
        double now = now_us();
        t->forward[i] += now - last;
        last = now;
    }
    t->all_forward += last - begin;
    begin = last;
    for (int i = n_layers - 1; i >= 0; i--) {
        net_backward_layer(net, i);
        double now = now_us();
        t->backward[i] += now - last;
        last = now;
    }
    t->all_backward += last - begin;
    return OK;
}

static enum status write_trace(const struct trace *trace, const char *path, struct error *err)
{
    int64_t n_left_out;
    TRY(trace_write(trace, path, &n_left_out, err));
    caffe_log('I', "caffe.cpp:416", "Trace is in %s", path);
    if (n_left_out)
        caffe_log('W', "caffe.cpp:416", "%lld spans at the end are left out: run fewer iterations",
                  (long long)n_left_out);
    return OK;
}

static enum status time_net(const struct caffe_flags *f, struct error *err)
{
    caffe_flags_log_device(f, false);
    Caffe__Phase phase = f->phase && !strcmp(f->phase, "TEST") ? CAFFE__PHASE__TEST : CAFFE__PHASE__TRAIN;
    CLEANUP(net_freep) struct net *net = NULL;
    TRY(caffe_flags_net(f, phase, false, &net, err));
    const struct netdef *def = net_def(net);
    double loss;
    caffe_log('I', "caffe.cpp:351", "Performing Forward");
    TRY(net_forward(net, &loss, err));
    caffe_log('I', "caffe.cpp:356", "Initial loss: " CAFFE_FLOAT, loss);
    caffe_log('I', "caffe.cpp:357", "Performing Backward");
    net_backward(net);

    caffe_log('I', "caffe.cpp:365", "*** Benchmark begins ***");
    caffe_log('I', "caffe.cpp:366", "Testing for %d iterations.", f->iterations);
    CLEANUP(times_release)
    struct times t = {
        .forward = xcalloc((size_t)def->n_layers + 1, sizeof(double)),
        .backward = xcalloc((size_t)def->n_layers + 1, sizeof(double)),
    };
    CLEANUP(trace_freep) struct trace *trace = f->trace ? trace_new(net) : NULL;
    double begin = now_us();
    for (int i = 0; i < f->iterations; i++) {
        double pass = now_us();
        int64_t pass_ns = trace_now_ns();
        TRY(time_pass(net, &t, err));
        if (trace)
            trace_span(trace, "iteration", i + 1, pass_ns, trace_now_ns());
        caffe_log('I', "caffe.cpp:394", "Iteration: %d forward-backward time: " CAFFE_FLOAT " ms.", i + 1,
                  (now_us() - pass) / 1e3);
    }
    double total_ms = (now_us() - begin) / 1e3, per = 1e3 * f->iterations;
    caffe_log('I', "caffe.cpp:397", "Average time per layer: ");
    for (int i = 0; i < def->n_layers; i++) {
        caffe_log('I', "caffe.cpp:400", "%10s\tforward: " CAFFE_FLOAT " ms.", def->layers[i].name,
                  t.forward[i] / per);
        caffe_log('I', "caffe.cpp:403", "%10s\tbackward: " CAFFE_FLOAT " ms.", def->layers[i].name,
                  t.backward[i] / per);
    }
    caffe_log('I', "caffe.cpp:408", "Average Forward pass: " CAFFE_FLOAT " ms.", t.all_forward / per);
    caffe_log('I', "caffe.cpp:410", "Average Backward pass: " CAFFE_FLOAT " ms.", t.all_backward / per);
    caffe_log('I', "caffe.cpp:412", "Average Forward-Backward: " CAFFE_FLOAT " ms.",
              total_ms / f->iterations);
    caffe_log('I', "caffe.cpp:414", "Total Time: " CAFFE_FLOAT " ms.", total_ms);
    caffe_log('I', "caffe.cpp:415", "*** Benchmark ends ***");
    return trace ? write_trace(trace, f->trace, err) : OK;
}

int command_time(int argc, char **argv)
{
    CLEANUP(caffe_flags_release) struct caffe_flags f = {0};
    int end = caffe_flags_read("time", help, argc, argv, &f);
    if (end >= 0)
        return end;
    if (!f.model)
        return command_usage("time", "time needs --model");
    struct error err;
    return time_net(&f, &err) == OK ? EXIT_DONE : command_fail(&err);
}
