#include "cli/command.h"
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

const struct command commands[] = {
    {"serve", command_serve, "Service", "Run the service: take jobs over HTTP, keep their data, run them", false},
    {"worker", command_worker, "Service", "Lease jobs from a server and run them", false},
    {"drain", command_drain, "Service", "Give a worker no new jobs, or list the workers", false},
    {"limit", command_limit, "Service", "Tell or set how much a user may have under way", false},
    {"login", command_login, "Client", "Get a token from a server and keep it", false},
    {"submit", command_submit, "Client", "Send a folder with solver, net and data as a training job", false},
    {"ps", command_ps, "Client", "List your jobs", false},
    {"status", command_status, "Client", "Tell where a job stands", false},
    {"logs", command_logs, "Client", "Print or follow a job's log", false},
    {"cancel", command_cancel, "Client", "Save and stop a job", false},
    {"why", command_why, "Client", "Tell what a job waits for", false},
    {"move", command_move, "Client", "Give a waiting job another place or priority", false},
    {"schedule", command_schedule, "Client", "Train again at times that come again", false},
    {"wait", command_wait, "Client", "Wait until a job has ended", false},
    {"get", command_get, "Client", "Download a trained model or another file", false},
    {"classify", command_classify, "Client", "Label pictures with a trained net", false},
    {"train", command_train, "Caffe", "Train or fine-tune a net", true},
    {"test", command_test, "Caffe", "Score a net", true},
    {"time", command_time, "Caffe", "Time each layer of a net", true},
    {"convert-imageset", command_convert_imageset, "Tools", "Make an LMDB or LevelDB of listed images", false},
    {"convert-mnist", command_convert_mnist, "Tools", "Make an LMDB or LevelDB of MNIST's files", false},
    {"classify-images", command_classify_images, NULL, NULL, true},
    {NULL, NULL, NULL, NULL, false},
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
