/*
 * elementwise.h - loops over all elements of a blob: vectorised, and on all
 * threads when there is work for them.
 */
#ifndef ET_ELEMENTWISE_H
#define ET_ELEMENTWISE_H

#include <stddef.h>

/* Below this many elements the other threads cost more than they bring. */
#define ELEMENTWISE_PARALLEL 65536

/*
 * ELEMENTWISE(i, n, y[i] = f(x[i])): i runs over [0, n).  y may be x, but may
 * not overlap it otherwise; the statement calls nothing that is not inline.
 */
#define ELEMENTWISE(i, n, statement)                                                                         \
    do {                                                                                                     \
        size_t elements_ = (n);                                                                              \
        _Pragma("omp parallel for simd if (elements_ >= ELEMENTWISE_PARALLEL)") for (size_t i = 0;           \
                                                                                     i < elements_; i++)     \
            statement;                                                                                       \
    } while (0)

#endif
