#include "cli/command.h"
#include "cli/commands.h"
#include "engine/data/hdf5_probe.h"

#include <stdio.h>
#include <string.h>

const struct command commands[] = {
    {"serve", command_serve, "Service", "Run the service: take jobs over HTTP, keep their data, run them"},
    {"worker", command_worker, "Service", "Lease jobs from a server and run them"},
    {"drain", command_drain, "Service", "Give a worker no new jobs, or list the workers"},
    {"limit", command_limit, "Service", "Tell or set how much a user may have under way"},
    {"login", command_login, "Client", "Get a token from a server and keep it"},
    {"submit", command_submit, "Client", "Send a folder with solver, net and data as a training job"},
    {"run", command_run_script, "Client", "Send a script as a job"},
    {"ps", command_ps, "Client", "List your jobs"},
    {"usage", command_usage_show, "Client", "Show what your files and logs take"},
    {"status", command_status, "Client", "Tell where a job stands"},
    {"logs", command_logs, "Client", "Print or follow a job's log"},
    {"plot", command_plot, "Client", "Draw a job's curves, here or as SVG"},
    {"top", command_top, "Client", "Watch workers and jobs"},
    {"cancel", command_cancel, "Client", "Save and stop a job"},
    {"why", command_why, "Client", "Tell what a job waits for"},
    {"move", command_move, "Client", "Give a waiting job another place or priority"},
    {"schedule", command_schedule, "Client", "Train again at times that come again"},
    {"wait", command_wait, "Client", "Wait until a job has ended"},
    {"get", command_get, "Client", "Download a trained model or another file"},
    {"classify", command_classify, "Client", "Label pictures with a trained net"},
    {"train", command_train, "Caffe", "Train or fine-tune a net", true},
    {"test", command_test, "Caffe", "Score a net", true},
    {"time", command_time, "Caffe", "Time each layer of a net", true},
    {"check", command_check, "Tools", "Explain a net and a solver: shapes, memory, and every mistake"},
    {"compute-image-mean", command_compute_image_mean, "Tools", "Average the images of an LMDB or LevelDB"},
    {"convert-imageset", command_convert_imageset, "Tools", "Make an LMDB or LevelDB of listed images"},
    {"convert-mnist", command_convert_mnist, "Tools", "Make an LMDB or LevelDB of MNIST's files"},
    {"draw-net", command_draw_net, "Tools", "Draw a net as a picture (SVG)"},
    {"extract-features", command_extract_features, "Tools", "Write what a net makes of images to databases",
     true},
    {"parse-log", command_parse_log, "Tools", "Make tables of a training log"},
    {"upgrade-net", command_upgrade_net, "Tools", "Rewrite an old net or caffemodel in today's form"},
    {"upgrade-solver", command_upgrade_solver, "Tools", "Rewrite an old solver in today's form"},
    {"classify-images", command_classify_images, NULL, NULL, true},
    {"sandbox-exec", command_sandbox_exec, NULL, NULL},
    {HDF5_PROBE_COMMAND, command_hdf5_probe, NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

int command_fail(const struct error *err)
{
    fprintf(stderr, "et: %s\n", err->message);
    switch (err->status) {
    case UNAVAILABLE:
        return EXIT_NO_SERVER;
    case DENIED:
        return EXIT_NOT_ALLOWED;
    default:
        return EXIT_WORK_FAILED;
    }
}

int command_usage(const char *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("et: ", stderr);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\ntry 'et %s%s--help'\n", command ? command : "", command ? " " : "");
    return EXIT_USAGE;
}

static const struct command *command_find(const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (!strcmp(c->name, name))
            return c;
    return NULL;
}

bool command_runs_nets(int argc, char **argv)
{
    const struct command *c = argc > 1 ? command_find(argv[1]) : NULL;
    return c && c->runs_nets;
}

/* What a link named `caffe` shows, in the manner of Caffe's own tool. */
static void print_caffe_help(void)
{
    puts("usage: caffe COMMAND [flags]\n\ncommands:");
    for (const struct command *c = commands; c->name; c++)
        if (c->group && !strcmp(c->group, "Caffe"))
            printf("  %-15s %s\n", c->name, c->summary);
    puts("\n'caffe COMMAND --help' explains a command, with an example.");
}

static void print_help(void)
{
    puts("et - queue, run and follow training jobs, keep their data and models, serve their predictions\n");
    puts("usage: et COMMAND [options]");
    const char *group = "";
    for (const struct command *c = commands; c->name; c++) {
        if (!c->group)
            continue;
        if (strcmp(group, c->group)) {
            group = c->group;
            printf("\n%s\n", group);
        }
        printf("  %-20s %s\n", c->name, c->summary);
    }
    puts("\n'et COMMAND --help' explains a command, with an example.");
}

int command_run(const char *called, int argc, char **argv)
{
    bool is_caffe = !strcmp(called, "caffe");
    void (*print)(void) = is_caffe ? print_caffe_help : print_help;
    if (argc < 2)
        return print(), EXIT_USAGE;
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
        return print(), EXIT_DONE;
    if (!strcmp(argv[1], "--version"))
        return puts("et " ET_VERSION), EXIT_DONE;
    const struct command *c = command_find(argv[1]);
    if (!c || (is_caffe && (!c->group || strcmp(c->group, "Caffe"))))
        return command_usage(NULL, "no command '%s'", argv[1]);
    return c->run(argc - 1, argv + 1);
}
