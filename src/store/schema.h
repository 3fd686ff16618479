/* schema.h - the tables, made and brought up to date when the store opens. */
#ifndef ET_SCHEMA_H
#define ET_SCHEMA_H

#include "store/sql.h"

/*
 * Runs the steps that the database lacks, in one transaction.
 * Errors: UNSUPPORTED when it is newer than us.
 */
enum status schema_migrate(struct connection *db, struct error *err);

#endif
