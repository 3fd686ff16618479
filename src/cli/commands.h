/* commands.h - the commands, one file each. */
#ifndef ET_COMMANDS_H
#define ET_COMMANDS_H

#include "cli/command.h"

int command_serve(int argc, char **argv);

int command_train(int argc, char **argv);
int command_test(int argc, char **argv);
int command_time(int argc, char **argv);

int command_convert_imageset(int argc, char **argv);
int command_convert_mnist(int argc, char **argv);

int command_worker(int argc, char **argv);
int command_drain(int argc, char **argv);
int command_limit(int argc, char **argv);
int command_classify_images(int argc, char **argv); /* hidden: the child of a classify job */

int command_login(int argc, char **argv);
int command_submit(int argc, char **argv);
int command_ps(int argc, char **argv);
int command_status(int argc, char **argv);
int command_logs(int argc, char **argv);
int command_cancel(int argc, char **argv);
int command_why(int argc, char **argv);
int command_move(int argc, char **argv);
int command_schedule(int argc, char **argv);
int command_wait(int argc, char **argv);
int command_get(int argc, char **argv);
int command_classify(int argc, char **argv);

#endif
