/*
 * step.c - how long a training step takes: forward, backward and a plain SGD
 * update, without any data feed.  Or a forward pass of the TEST phase alone.
 *
 *   bench_step NET.prototxt [THREADS [SECONDS [WORDS]]], of f32, bf16 and inference
 *   ET_BENCH_LAYERS=1: also the processor time of each layer type and pass
 *
 * One line: batch, milliseconds a step (the median, and the least), processor
 * milliseconds a step (which other programs on the machine disturb less),
 * images a second of the least, and the memory of the net.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/elementwise.h"
#include "engine/net.h"

static double clock_ms(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double now_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

static void update(struct net *net, float rate)
{
    for (int i = 0; i < net_n_params(net); i++) {
        struct param *p = net_param(net, i);
        if (net_def(net)->params[i].owner != i || net_def(net)->params[i].lr_mult == 0)
            continue;
        float *w = p->data;
        const float *g = p->diff;
        ELEMENTWISE(j, p->n_floats, w[j] -= rate * g[j]);
        p->version++;
    }
}

/* ---- where the time goes ---- */

enum { TYPES_MAX = 100, PASSES = 4 };
static struct {
    const char *type;
    double ms[PASSES];
} spent[TYPES_MAX];
static double last_ms;

static void add_step(void *context, enum net_step pass, int layer, int64_t begin_ns, int64_t end_ns)
{
    const struct net *net = context;
    const char *type = net_def(net)->layers[layer].type->name;
    (void)begin_ns;
    (void)end_ns;
    int i = 0;
    while (spent[i].type && strcmp(spent[i].type, type) != 0 && i < TYPES_MAX - 1)
        i++;
    double now = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
    spent[i].type = type;
    spent[i].ms[pass] += now - last_ms;
    last_ms = now;
}

static void print_spent(int n_steps)
{
    printf("%-20s %10s %10s %10s %10s  processor ms a step\n", "type", "forward", "backward", "reorder",
           "reorder");
    for (int i = 0; i < TYPES_MAX && spent[i].type; i++) {
        printf("%-20s", spent[i].type);
        for (int pass = 0; pass < PASSES; pass++)
            printf(" %10.2f", spent[i].ms[pass] / n_steps);
        printf("\n");
    }
}

static enum status step(struct net *net, bool inference, struct error *err)
{
    if (inference)
        return net_forward(net, NULL, err);
    net_clear_diffs(net);
    TRY(net_forward(net, NULL, err));
    net_backward(net);
    update(net, 1e-4f);
    return OK;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static enum status measure(struct net *net, double seconds, bool inference, struct error *err)
{
    enum { MAX_STEPS = 100000 };
    static double times[MAX_STEPS];
    for (int i = 0; i < 3; i++)
        TRY(step(net, inference, err));
    int n = 0;
    bool by_layer = getenv("ET_BENCH_LAYERS") != NULL;
    double processor = last_ms = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
    if (by_layer)
        net_set_watch(net, (struct net_watch){add_step, net});
    for (double end = now_ms() + 1e3 * seconds; n < MAX_STEPS && (n < 3 || now_ms() < end); n++) {
        double start = now_ms();
        TRY(step(net, inference, err));
        times[n] = now_ms() - start;
        last_ms = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
    }
    processor = (clock_ms(CLOCK_PROCESS_CPUTIME_ID) - processor) / n;
    qsort(times, (size_t)n, sizeof(times[0]), ascending);
    double median = times[n / 2], least = times[0];
    int batch = net_def(net)->blobs[0].shape.dim[0];
    struct net_memory memory = net_memory(net);
    printf(
        "batch %d  %.3f ms a step (least %.3f, processor %.3f)  %.1f images/s  blobs %.1f MB  params %.1f MB  "
        "scratch %.1f MB\n",
        batch, median, least, processor, 1e3 * batch / least, (double)memory.blobs / 1e6,
        (double)memory.params / 1e6, (double)memory.scratch / 1e6);
    if (by_layer)
        print_spent(n);
    return OK;
}

static enum status run(int argc, char **argv, struct error *err)
{
    struct net_options options = {.threads = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0, .seed = 1};
    double seconds = argc > 3 ? strtod(argv[3], NULL) : 5;
    for (int i = 4; i < argc; i++) {
        if (strcmp(argv[i], "inference") == 0)
            options.inference = true;
        else if (!precision_read(argv[i], &options.precision))
            return error_set(err, INVALID, "'%s' is not f32, bf16 or inference", argv[i]);
    }
    struct netdef_options state = {.phase = CAFFE__PHASE__TRAIN};
    if (options.inference)
        state.phase = CAFFE__PHASE__TEST;
    Caffe__NetParameter *param = NULL;
    TRY(net_read_file(argv[1], &param, err));
    CLEANUP(net_freep) struct net *net = NULL;
    enum status status = net_create(param, &state, &options, &net, err);
    caffe__net_parameter__free_unpacked(param, NULL);
    TRY(status);
    return measure(net, seconds, options.inference, err);
}

int main(int argc, char **argv)
{
    struct error err = {0};
    if (argc < 2) {
        fprintf(stderr, "usage: bench_step NET.prototxt [THREADS [SECONDS [f32|bf16] [inference]]]\n");
        return 2;
    }
    if (run(argc, argv, &err) != OK) {
        fprintf(stderr, "bench_step: %s\n", err.message);
        return 1;
    }
    return 0;
}
