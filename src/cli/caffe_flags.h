/*
 * caffe_flags.h - the flags of Caffe's tool, and ours beside them.
 *
 * As gflags reads them: --flag=value, --flag value, and both with one dash.
 * Every command takes all of Caffe's flags, whether it needs them or not.
 */
#ifndef ET_CAFFE_FLAGS_H
#define ET_CAFFE_FLAGS_H

#include "engine/net.h"
#include "engine/solver.h"

#define CAFFE_MAX_STAGES 64

struct caffe_flags {
    const char *gpu, *solver, *model, *phase, *snapshot, *weights; /* NULL: not given */
    int level;
    int iterations; /* 50 */
    int n_stages;
    const char *stages[CAFFE_MAX_STAGES];
    enum solver_action on_sigint, on_sighup, on_sigterm; /* stop, snapshot, stop */

    /* Extensions. */
    int threads; /* 0: all processors */
    enum precision precision;
    int snapshot_every_s;         /* 0: never */
    const char *service_snapshot; /* prefix */
    int progress_fd;              /* -1: none */
    const char *trace;            /* file for `time`; NULL: none */

    /* Not flags: */
    bool keep_blobs;   /* every blob of the net can be read */
    bool feeds_memory; /* the caller writes the tops of MemoryData layers */

    char *stage_text; /* what stages point into */
};

/*
 * Returns -1 to go on, or the exit status to end with: after --help, which
 * prints `help`, or after a message about wrong usage.
 */
int caffe_flags_read(const char *command, const char *help, int argc, char **argv,
                     struct caffe_flags *ret_flags);
void caffe_flags_release(struct caffe_flags *f);

/* Caffe's line about the device; --gpu is told that the CPU is used. */
void caffe_flags_log_device(const struct caffe_flags *f, bool solver_wants_gpu);

/* The net of --model in the given phase, with --level, --stage and --weights. */
enum status caffe_flags_net(const struct caffe_flags *f, Caffe__Phase phase, bool inference,
                            struct net **ret_net, struct error *err);

/* The lines of a help text that are the same for train, test and time. */
#define CAFFE_FLAGS_HELP                                                                                     \
    "  --level=N           network level (0)\n"                                                              \
    "  --stage=A,B         network stages\n"                                                                 \
    "  --gpu=IDS           accepted; this engine computes on the CPU and says so\n"

#define CAFFE_EXTENSIONS_HELP                                                                                \
    "\nExtensions:\n"                                                                                        \
    "  --threads=N         threads to compute with (all processors)\n"                                       \
    "  --precision=P       f32 (default), or bf16: faster where the processor has avx512_bf16\n"

#endif
