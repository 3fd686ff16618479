/*
 * step.c - how long a training step takes: forward, backward and a plain SGD
 * update, without any data feed.
 *
 *   bench_step NET.prototxt [THREADS [SECONDS [PRECISION]]]
 *
 * One line: batch, milliseconds a step (the median), processor milliseconds a
 * step (which other programs on the machine disturb less), images a second,
 * and the memory of the net.
 */
#include <stdio.h>
#include <stdlib.h>
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
        if (net_def(net)->params[i].owner != i || !p->is_learned)
            continue;
        float *w = p->data;
        const float *g = p->diff;
        ELEMENTWISE(j, p->n_floats, w[j] -= rate * g[j]);
        p->version++;
    }
}

static enum status step(struct net *net, struct error *err)
{
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

static enum status measure(struct net *net, double seconds, struct error *err)
{
    enum { MAX_STEPS = 100000 };
    static double times[MAX_STEPS];
    for (int i = 0; i < 3; i++)
        TRY(step(net, err));
    int n = 0;
    double processor = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
    for (double end = now_ms() + 1e3 * seconds; n < MAX_STEPS && (n < 3 || now_ms() < end); n++) {
        double start = now_ms();
        TRY(step(net, err));
        times[n] = now_ms() - start;
    }
    processor = (clock_ms(CLOCK_PROCESS_CPUTIME_ID) - processor) / n;
    qsort(times, (size_t)n, sizeof(times[0]), ascending);
    double median = times[n / 2];
    int batch = net_def(net)->blobs[0].shape.dim[0];
    struct net_memory memory = net_memory(net);
    printf("batch %d  %.3f ms a step (processor %.3f)  %.0f images/s  blobs %.1f MB  params %.1f MB  scratch "
           "%.1f MB\n",
           batch, median, processor, 1e3 * batch / median, (double)memory.blobs / 1e6,
           (double)memory.params / 1e6, (double)memory.scratch / 1e6);
    return OK;
}

static enum status run(int argc, char **argv, struct error *err)
{
    struct net_options options = {.threads = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0, .seed = 1};
    double seconds = argc > 3 ? strtod(argv[3], NULL) : 5;
    if (argc > 4 && !precision_read(argv[4], &options.precision))
        return error_set(err, INVALID, "precision '%s' is not f32 or bf16", argv[4]);
    struct netdef_options state = {.phase = CAFFE__PHASE__TRAIN};
    Caffe__NetParameter *param = NULL;
    TRY(net_read_file(argv[1], &param, err));
    CLEANUP(net_freep) struct net *net = NULL;
    enum status status = net_create(param, &state, &options, &net, err);
    caffe__net_parameter__free_unpacked(param, NULL);
    TRY(status);
    return measure(net, seconds, err);
}

int main(int argc, char **argv)
{
    struct error err = {0};
    if (argc < 2) {
        fprintf(stderr, "usage: bench_step NET.prototxt [THREADS [SECONDS [f32|bf16]]]\n");
        return 2;
    }
    if (run(argc, argv, &err) != OK) {
        fprintf(stderr, "bench_step: %s\n", err.message);
        return 1;
    }
    return 0;
}
