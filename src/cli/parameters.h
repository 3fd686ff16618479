/* parameters.h - the parameter sets of a job array, from the command line or a file. */
#ifndef ET_PARAMETERS_H
#define ET_PARAMETERS_H

#include "base/json.h"

/*
 * "base_lr=0.1,0.01": every set so far with each of these values.  Numbers,
 * true and false are what they look like, anything else is a string.  An
 * empty array begins as one empty set.
 * Errors: INVALID; TOO_LARGE over 50,000 sets.
 */
enum status parameters_cross(json_t *sets, const char *text, struct error *err);

/*
 * A file with a JSON array of objects, one object a line, or, when its name
 * ends in .csv, names in its first line and a set in each other.  New.
 */
enum status parameters_read(const char *path, json_t **ret_sets, struct error *err);

#endif
