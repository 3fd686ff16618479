/*
 * base.h - what every file of every room uses: status and error, cleanup of
 * locals, and a few macros.
 *
 * A function that can fail returns an enum status and takes a struct error
 * last.  The message is written where the failure is known and travels up
 * inline: reporting never allocates.  Callers on the way add what they know
 * with error_context().  Outputs named ret_x are written only on OK.
 */
#ifndef ET_BASE_H
#define ET_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum status {
    OK = 0,
    INVALID,     /* the input is wrong; saying it again will not help */
    NOT_FOUND,   /* no such thing, or not the caller's */
    DENIED,      /* not allowed */
    CONFLICT,    /* exists already, stale revision, lease gone */
    TOO_LARGE,   /* over a limit */
    UNSUPPORTED, /* right, but not something this build does */
    UNAVAILABLE, /* the other side did not answer: try again later */
    NO_SPACE,    /* disk or quota full */
    LIMITED,     /* the owner has too much under way: again when some of it has ended */
    CANCELLED,   /* asked to stop */
    FAILED,      /* anything else */
};

#define ERROR_MESSAGE_MAX 768

struct error {
    enum status status;
    int line, column; /* in the user's text, from 1; 0 when they do not apply */
    char message[ERROR_MESSAGE_MAX];
};

/*
 * Writes the message (lower case, no full stop, values in quotes) and
 * returns status, so that a failure is one line: return error_set(err, ...).
 * err may be NULL.  A message that does not fit is cut.
 */
enum status error_set(struct error *err, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, with the place in the user's text. */
enum status error_set_at(struct error *err, enum status status, int line, int column, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Puts "what: " before the message of err and returns its status. */
enum status error_context(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One lower-case word for a status: "invalid", "not found". */
const char *status_name(enum status status);

#define CLEANUP(func) __attribute__((cleanup(func)))

/* Moves a pointer out of a variable, leaving NULL for its cleanup. */
#define TAKE(pointer)                                                                                        \
    ({                                                                                                       \
        __typeof__(pointer) taken_ = (pointer);                                                              \
        (pointer) = NULL;                                                                                    \
        taken_;                                                                                              \
    })

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b)         ((a) < (b) ? (a) : (b))
#define MAX(a, b)         ((a) > (b) ? (a) : (b))

/* Returns from the function when the call fails. */
#define TRY(call)                                                                                            \
    do {                                                                                                     \
        enum status try_ = (call);                                                                           \
        if (try_ != OK)                                                                                      \
            return try_;                                                                                     \
    } while (0)

void freep(void *pointer_to_pointer); /* CLEANUP(freep) char *s = ... */

/* malloc, calloc and friends that end the process when there is no memory. */
void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *s);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
