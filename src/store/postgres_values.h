/*
 * postgres_values.h - parameters and columns as PostgreSQL's protocol has them in binary form.
 *
 * Sources: its manual, "Frontend/Backend Protocol"; numeric is groups of
 * four decimal digits, after how many groups there are, the first one's
 * weight, the sign and the scale, each in two bytes.
 */
#ifndef ET_POSTGRES_VALUES_H
#define ET_POSTGRES_VALUES_H

#include "store/driver.h"

/* The type that a parameter is declared with; NULL is text. */
unsigned postgres_type(enum value_kind kind);

/* One parameter, ready to be sent. */
struct postgres_parameter {
    const char *bytes; /* NULL: NULL */
    int size;
    char number[8];
    char *repaired; /* text that was not UTF-8, with U+FFFD instead of what was wrong */
};
void postgres_encode(const struct value *v, struct postgres_parameter *p); /* lends v's bytes */
void postgres_parameter_release(struct postgres_parameter *p);

/* A column that is not NULL; text and bytes are lent. */
void postgres_decode(unsigned type, const char *bytes, size_t size, struct value *ret_value);

#endif
