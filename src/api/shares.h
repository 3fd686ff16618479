/*
 * shares.h - what a dataset's two split-percentages mean.
 */
#ifndef ET_SHARES_H
#define ET_SHARES_H

#include "base/base.h"

/*
 * Shares of one datafile, each in [0, 1], from numbers as clients write them:
 * fractions (0.7 and 0.3) or percentages (70 and 30).  Both are 0 when there
 * is nothing to divide.
 * Errors: INVALID: negative, more than the whole, one side only, or one
 * fraction beside one percentage.
 */
enum status shares_read(double training, double test, double *ret_training, double *ret_test,
                        struct error *err);

#endif
