#include "base/process.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

void process_die_with_parent(void)
{
    const char *text = getenv(PARENT_VARIABLE);
    if (!text)
        return;
    long parent = strtol(text, NULL, 10);
    unsetenv(PARENT_VARIABLE);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before the kernel was asked */
        _exit(137);
}

const char *signal_name(int number, char out[SIGNAL_NAME_MAX])
{
    const char *name = sigabbrev_np(number);
    if (name)
        snprintf(out, SIGNAL_NAME_MAX, "SIG%s", name);
    else
        snprintf(out, SIGNAL_NAME_MAX, "signal %d", number);
    return out;
}
