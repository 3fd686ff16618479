/*
 * main.c - et, one binary: the table of commands.
 */
#include <stdio.h>
#include <string.h>

#include "base/process.h"
#include "cli/command.h"

int main(int argc, char **argv)
{
    process_die_with_parent();
    /* A link named `caffe` runs Caffe's own command line. */
    const char *slash = strrchr(argv[0], '/');
    const char *called = slash ? slash + 1 : argv[0];
    return command_run(called, argc, argv);
}
