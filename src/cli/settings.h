/*
 * settings.h - a command's settings: by flag, environment, or configuration file.
 *
 * One row a setting.  "--listen A" beats ET_LISTEN, which beats "listen = A"
 * in the file that --config or ET_CONFIG names.
 */
#ifndef ET_SETTINGS_H
#define ET_SETTINGS_H

#include "base/base.h"

struct setting {
    const char *name;      /* "allow-private-urls"; NULL ends a table */
    bool is_switch;        /* a flag without a value; elsewhere true or false */
    const char *otherwise; /* NULL: stays unset */
    bool repeats;          /* several values, joined by a space */
    char *value;           /* owned; of a switch "true" or "false" */
    int place;             /* settings.c's own */
};

#define SETTINGS_MAX 32

/*
 * Fills the table.  ret_help: --help was given, and nothing else was read.
 * Errors: INVALID, naming the flag, variable, or file and line.
 */
enum status settings_read(struct setting *table, int argc, char **argv, bool *ret_help, struct error *err);
void settings_release(struct setting *table);

const char *setting_text(const struct setting *table, const char *name); /* NULL: unset */
bool setting_is_on(const struct setting *table, const char *name);
/* A whole number in [min, max].  Errors: INVALID. */
enum status setting_int(const struct setting *table, const char *name, int64_t min, int64_t max,
                        int64_t *ret_value, struct error *err);
/* Bytes: "16G", "512M", "100".  Errors: INVALID. */
enum status setting_size(const struct setting *table, const char *name, int64_t *ret_bytes,
                         struct error *err);

#endif
