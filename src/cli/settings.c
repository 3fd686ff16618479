#include "cli/settings.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

#define HELP_OPTION   1000
#define CONFIG_OPTION 1001

static struct setting *find(struct setting *table, const char *name)
{
    for (struct setting *s = table; s->name; s++)
        if (!strcmp(s->name, name))
            return s;
    return NULL;
}

/* Where a value comes from; a later one takes the place of all of an earlier. */
enum place { FROM_NOWHERE, FROM_FILE, FROM_ENVIRONMENT, FROM_FLAGS };

static enum status set(struct setting *s, const char *value, enum place place, const char *where,
                       struct error *err)
{
    if (s->is_switch) {
        static const char *const on[] = {"true", "yes", "on", "1"}, *const off[] = {"false", "no", "off",
                                                                                    "0"};
        const char *word = NULL;
        for (size_t i = 0; i < ARRAY_SIZE(on); i++) {
            if (!strcasecmp(value, on[i]))
                word = "true";
            if (!strcasecmp(value, off[i]))
                word = "false";
        }
        if (!word)
            return error_set(err, INVALID, "%s is '%s': expected true or false", where, value);
        value = word;
    }
    bool adds = s->repeats && s->value && s->place == (int)place;
    char *whole = adds ? xasprintf("%s %s", s->value, value) : xstrdup(value);
    free(s->value);
    s->value = whole;
    s->place = place;
    return OK;
}

/* A key of the file, in no section or in [serve]-like ones: sections only group. */
struct reading {
    struct setting *table;
    const char *path;
    struct error *err;
};

static int on_key(void *context, const char *section, const char *key, const char *value)
{
    (void)section;
    struct reading *r = context;
    struct setting *s = find(r->table, key);
    CLEANUP(freep) char *where = xasprintf("'%s' in '%s'", key, r->path);
    if (!s) {
        error_set(r->err, INVALID, "%s is no setting", where);
        return 0;
    }
    return set(s, value, FROM_FILE, where, r->err) == OK;
}

static enum status read_file(struct setting *table, const char *path, struct error *err)
{
    struct error inner = {0};
    struct reading r = {table, path, &inner};
    int result = ini_parse(path, on_key, &r);
    if (result == -1)
        return error_set(err, NOT_FOUND, "cannot read the configuration file '%s': %s", path,
                         strerror(errno));
    if (result && !inner.message[0])
        return error_set(err, INVALID, "line %d of '%s' is no 'key = value' or is too long", result, path);
    if (result)
        return error_set(err, INVALID, "line %d: %s", result, inner.message);
    return OK;
}

static enum status read_environment(struct setting *table, struct error *err)
{
    for (struct setting *s = table; s->name; s++) {
        CLEANUP(freep) char *variable = xasprintf("ET_%s", s->name);
        for (char *c = variable; *c; c++)
            *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
        const char *value = getenv(variable);
        if (value && *value)
            TRY(set(s, value, FROM_ENVIRONMENT, variable, err));
    }
    return OK;
}

static enum status read_flags(struct setting *table, int argc, char **argv, bool *ret_help,
                              const char **ret_config, bool only_config, struct error *err)
{
    struct option options[SETTINGS_MAX + 3] = {0};
    int n = 0;
    for (; n < SETTINGS_MAX && table[n].name; n++)
        options[n] =
            (struct option){table[n].name, table[n].is_switch ? no_argument : required_argument, NULL, n};
    options[n++] = (struct option){"help", no_argument, NULL, HELP_OPTION};
    options[n++] = (struct option){"config", required_argument, NULL, CONFIG_OPTION};
    optind = 0;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "+:h", options, NULL)) != -1;) {
        if (c == 'h' || c == HELP_OPTION)
            *ret_help = true;
        else if (c == CONFIG_OPTION)
            *ret_config = optarg;
        else if (c == ':')
            return error_set(err, INVALID, "'%s' needs a value", argv[optind - 1]);
        else if (c == '?')
            return error_set(err, INVALID, "no option '%s'", argv[optind - 1]);
        else if (!only_config)
            TRY(set(&table[c], optarg ? optarg : "true", FROM_FLAGS, table[c].name, err));
    }
    if (optind < argc)
        return error_set(err, INVALID, "what is '%s'?", argv[optind]);
    return OK;
}

enum status settings_read(struct setting *table, int argc, char **argv, bool *ret_help, struct error *err)
{
    bool help = false;
    const char *config = getenv("ET_CONFIG");
    TRY(read_flags(table, argc, argv, &help, &config, true, err));
    *ret_help = help;
    if (help)
        return OK;
    if (config && *config)
        TRY(read_file(table, config, err));
    TRY(read_environment(table, err));
    TRY(read_flags(table, argc, argv, &help, &config, false, err));
    for (struct setting *s = table; s->name; s++)
        if (!s->value && s->otherwise)
            s->value = xstrdup(s->otherwise);
    return OK;
}

void settings_release(struct setting *table)
{
    for (struct setting *s = table; s->name; s++)
        freep(&s->value);
}

const char *setting_text(const struct setting *table, const char *name)
{
    return find((struct setting *)table, name)->value;
}

bool setting_is_on(const struct setting *table, const char *name)
{
    const char *value = setting_text(table, name);
    return value && !strcmp(value, "true");
}

enum status setting_int(const struct setting *table, const char *name, int64_t min, int64_t max,
                        int64_t *ret_value, struct error *err)
{
    const char *text = setting_text(table, name);
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end == text || *end || errno || n < min || n > max)
        return error_set(err, INVALID, "'%s' is '%s': expected a whole number from %lld to %lld", name, text,
                         (long long)min, (long long)max);
    *ret_value = n;
    return OK;
}

enum status setting_size(const struct setting *table, const char *name, int64_t *ret_bytes, struct error *err)
{
    const char *text = setting_text(table, name);
    if (!size_read(text, ret_bytes))
        return error_set(err, INVALID, "'%s' is '%s': expected bytes, as 16G, 512M or 1000", name, text);
    return OK;
}
