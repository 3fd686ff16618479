/* number.h - whole numbers on the command line. */
#ifndef ET_CLI_NUMBER_H
#define ET_CLI_NUMBER_H

#include "base/base.h"

/* false unless the whole text is a number from low to high. */
bool read_integer(const char *text, int64_t low, int64_t high, int64_t *ret_value);

#endif
