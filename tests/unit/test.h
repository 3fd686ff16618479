/* test.h - what every unit test includes: cmocka and its needs, and a temporary folder. */
#ifndef ET_TEST_H
#define ET_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"

/* A new folder below $TMPDIR (or /tmp), for the test to remove with dir_remove and free. */
static inline char *test_folder(void)
{
    const char *parent = getenv("TMPDIR");
    char *path = xasprintf("%s/et-test-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void test_of_another_processor(void **state)
{
    (void)state;
}

/* A test; where the processor cannot run it, it is skipped (of skip() cmocka writes that it is not ok). */
#define UNIT_TEST_IF(can, test, needs)                                                                       \
    {                                                                                                        \
        (can) ? #test : #test " # SKIP needs " needs, (can) ? (test) : test_of_another_processor, NULL,      \
            NULL, NULL                                                                                       \
    }

#define assert_ok(call)                                                                                      \
    do {                                                                                                     \
        enum status got_ = (call);                                                                           \
        if (got_ != OK)                                                                                      \
            fail_msg("%s: %s (%s)", #call, status_name(got_), err.message);                                  \
    } while (0)

#endif
