#include <signal.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/commands.h"
#include "engine/data/hdf5_probe.h"

int command_hdf5_probe(int argc, char **argv)
{
    signal(SIGALRM, SIG_DFL);
    _exit(argc == 2 ? hdf5_probe_walk(argv[1]) : EXIT_USAGE); /* what it has opened is not given back */
}
