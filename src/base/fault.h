/*
 * fault.h - named points where a test can make the program fail.
 *
 *   if (fault_point("blob.commit"))
 *       return error_set(err, NO_SPACE, ...);
 *
 * The environment variable ET_FAULT arms points: NAME:COUNT[:ACTION], several
 * separated by commas.  The COUNT-th call of the point NAME (from 1) acts:
 * `exit` (the default) ends the process at once with status 137, as SIGKILL
 * would; `error` makes that call and all later ones return true.  Unarmed, a
 * point costs the test of one pointer.  Safe from any thread.
 */
#ifndef ET_FAULT_H
#define ET_FAULT_H

#include "base/base.h"

struct fault;
extern struct fault *fault_armed; /* NULL: no point is armed */

bool fault_reached(const char *name);

#define fault_point(name) (__builtin_expect(fault_armed != NULL, 0) && fault_reached(name))

/* Reads ET_FAULT; done by itself before main.  Bad text ends the process with a message and status 2. */
void fault_init(void);

/*
 * Arms from text as ET_FAULT would, or disarms (NULL).  For tests, while no
 * other thread runs.  Errors: INVALID.
 */
enum status fault_arm(const char *text, struct error *err);

#endif
