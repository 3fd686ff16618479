/* commands.h - the commands, one file each. */
#ifndef ET_COMMANDS_H
#define ET_COMMANDS_H

#include "cli/command.h"

int command_serve(int argc, char **argv);

int command_train(int argc, char **argv);
int command_test(int argc, char **argv);
int command_time(int argc, char **argv);

int command_check(int argc, char **argv);
int command_compute_image_mean(int argc, char **argv);
int command_convert_imageset(int argc, char **argv);
int command_convert_mnist(int argc, char **argv);
int command_draw_net(int argc, char **argv);
int command_extract_features(int argc, char **argv);
int command_parse_log(int argc, char **argv);
int command_upgrade_net(int argc, char **argv);
int command_upgrade_solver(int argc, char **argv);

int command_worker(int argc, char **argv);
int command_drain(int argc, char **argv);
int command_limit(int argc, char **argv);
int command_classify_images(int argc, char **argv); /* hidden: the child of a classify job */

int command_sandbox_exec(int argc, char **argv); /* hidden: the step before a script's sandbox */
int command_hdf5_probe(int argc, char **argv);   /* hidden: reads an HDF5 file that may be damaged */

int command_login(int argc, char **argv);
int command_submit(int argc, char **argv);
int command_run_script(int argc, char **argv);
int command_ps(int argc, char **argv);
int command_usage_show(int argc, char **argv);
int command_status(int argc, char **argv);
int command_logs(int argc, char **argv);
int command_plot(int argc, char **argv);
int command_top(int argc, char **argv);
int command_cancel(int argc, char **argv);
int command_why(int argc, char **argv);
int command_move(int argc, char **argv);
int command_schedule(int argc, char **argv);
int command_wait(int argc, char **argv);
int command_get(int argc, char **argv);
int command_classify(int argc, char **argv);

#endif
