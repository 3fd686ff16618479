/*
 * driver_faulty.h - a driver that fails the n-th call of another, for tests.
 *
 * Calls that can fail (connect, prepare, bind, step, run, begin, commit) are
 * counted over all links.  A commit that is made to fail has not happened.
 */
#ifndef ET_DRIVER_FAULTY_H
#define ET_DRIVER_FAULTY_H

#include <stdatomic.h>

#include "store/driver.h"

struct driver_faulty {
    struct driver driver; /* give its address to store_options */
    const struct driver *inner;
    atomic_long calls;
    atomic_long fail_at; /* the call, from 1, that fails once; 0: none */
    enum status status;  /* with which it fails */
};

void driver_faulty_init(struct driver_faulty *f, const struct driver *inner);

#endif
