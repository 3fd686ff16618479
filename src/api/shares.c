#include "api/shares.h"

#include <math.h>

/* 0.7 + 0.3 is not 1 in binary. */
#define TOLERANCE 1e-9

enum status shares_read(double training, double test, double *ret_training, double *ret_test,
                        struct error *err)
{
    double sum = training + test;
    if (!isfinite(sum) || training < 0 || test < 0)
        return error_set(err, INVALID, "split-percentage must be 0 or more, not %g and %g", training, test);
    if ((training > 0) != (test > 0))
        return error_set(err, INVALID,
                         "split-percentage must be above 0 for both training and test, or 0 for "
                         "both (already split), not %g and %g",
                         training, test);
    double whole = 1;
    if (training > 1 || test > 1) {
        whole = 100;
        bool mixed = training < 1 || test < 1; /* 0.5 and 99.5 are percentages */
        if (mixed && fabs(sum - whole) > TOLERANCE * whole)
            return error_set(err, INVALID,
                             "%g and %g are neither two fractions (0.7 and 0.3) nor two "
                             "percentages (70 and 30)",
                             training, test);
    }
    if (sum > whole * (1 + TOLERANCE))
        return error_set(err, INVALID, "%g and %g are more than the whole (%g)", training, test, whole);
    *ret_training = training / whole;
    *ret_test = test / whole;
    return OK;
}
