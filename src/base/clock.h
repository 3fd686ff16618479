/* clock.h - time in milliseconds, and as RFC 3339 text. */
#ifndef ET_CLOCK_H
#define ET_CLOCK_H

#include <pthread.h>

#include "base/base.h"

int64_t clock_now_ms(void);       /* since 1970, UTC, with all corrections */
int64_t clock_monotonic_ms(void); /* for measuring and waiting; arbitrary origin */

/* Waits for the condition, with the lock held, at most until then; false: the time has come. */
bool clock_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t until_monotonic_ms);

/* For a process that goes by another machine's clock: clock_now_ms tells by_ms more from now on. */
void clock_correct(int64_t by_ms);
int64_t clock_correction_ms(void); /* the sum of all */

#define CLOCK_TEXT_MAX 32
/* "2026-11-21T13:40:00.123Z".  Returns out. */
const char *clock_text(int64_t at_ms, char out[CLOCK_TEXT_MAX]);

/*
 * Reads RFC 3339: "2026-11-21T13:40:00Z", with a fraction or an offset
 * ("+02:00") or both; milliseconds are kept.  Errors: INVALID.
 */
enum status clock_read(const char *text, int64_t *ret_ms, struct error *err);

#endif
