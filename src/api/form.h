/* form.h - the values of a form as the JSON object that they stand for. */
#ifndef ET_FORM_H
#define ET_FORM_H

#include "api/api.h"
#include "api/fields.h"

/*
 * By the table's rows: a part that is repeated is an array, numbers and
 * truths are JSON.  It is decoded by the same table afterwards.
 * Errors: INVALID for a part that the table does not have, or not twice.
 */
enum status form_object(const struct form_value *values, int n, const struct field *table,
                        json_t **ret_object, struct error *err);

#endif
