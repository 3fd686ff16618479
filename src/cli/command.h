/*
 * command.h - the table of commands: one file a command, one row here.
 *
 * Exit status: 0 done, 1 the work failed, 2 wrong usage, 3 cannot reach the
 * server, 4 not allowed.
 */
#ifndef ET_COMMAND_H
#define ET_COMMAND_H

#include "base/base.h"

enum exit_status {
    EXIT_DONE = 0,
    EXIT_WORK_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NO_SERVER = 3,
    EXIT_NOT_ALLOWED = 4
};

struct command {
    const char *name;
    /* argv[0] is the command's own name; returns an exit status. */
    int (*run)(int argc, char **argv);
    const char *group;   /* heading in the help: "Service", "Caffe", "Client", "Tools"; NULL: hidden */
    const char *summary; /* "Train a net as Caffe does" */
    bool runs_nets;      /* starts OpenMP's threads */
};

extern const struct command commands[]; /* ends with a row whose name is NULL */

/* Finds and runs argv[1] (or Caffe's own commands when `called` is "caffe"). */
int command_run(const char *called, int argc, char **argv);

/* Will command_run() with these run a net? */
bool command_runs_nets(int argc, char **argv);

/* Prints "et: MESSAGE" on stderr and returns the exit status that fits the error. */
int command_fail(const struct error *err);
/* Wrong usage: the message, and where the help is. Returns EXIT_USAGE. */
int command_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
