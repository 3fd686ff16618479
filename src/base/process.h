/*
 * process.h - children of ours: none outlives its parent.
 */
#ifndef ET_PROCESS_H
#define ET_PROCESS_H

#include "base/base.h"

/* A parent puts its process id here, in decimal, in the environment of its child. */
#define PARENT_VARIABLE "ET_PARENT"

/*
 * First thing in main: when a parent named itself in the environment, the
 * kernel is asked for SIGKILL at that parent's death; when it is dead already
 * the process ends.  The variable is removed, so that grandchildren do not
 * take it for theirs.
 */
void process_die_with_parent(void);

/* "SIGSEGV"; "signal 42" for one without a name.  Returns out. */
#define SIGNAL_NAME_MAX 24
const char *signal_name(int number, char out[SIGNAL_NAME_MAX]);

#endif
