/*
 * parse_log.c - `et parse-log`: a training log as two tables, the files that
 * Caffe's parse_log.py writes, its rules for rows included: a row is taken
 * when it has as many columns as the first, or when the next iteration starts.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "cli/commands.h"

static const char help[] =
    "usage: et parse-log LOG [OUT_DIR] [flags]\n\n"
    "Writes what a log of Caffe or of et train says of loss, accuracy and learning rate to\n"
    "OUT_DIR/LOG.train and OUT_DIR/LOG.test, tables with commas (OUT_DIR: the current folder).\n\n"
    "  --delimiter=C       between columns, instead of a comma\n"
    "  --verbose           say which files are written\n"
    "\nexample:\n"
    "  et train --solver=lenet_solver.prototxt 2>lenet.log && et parse-log lenet.log tables/\n";

enum { OUTPUTS_MAX = 4096 };

struct output_value {
    char *name;
    double value;
};

struct row {
    double iteration, seconds, rate;
    int n_outputs;
    struct output_value *outputs;
};

/* Rows of the train net, or of the test nets. */
struct table {
    const char *marker; /* what stands before an output's number */
    struct row *rows;
    size_t n, allocated;
    struct row pending; /* not full yet */
    bool has_pending;
};

static void row_release(struct row *r)
{
    for (int i = 0; i < r->n_outputs; i++)
        free(r->outputs[i].name);
    free(r->outputs);
}

static void table_release(struct table *t)
{
    for (size_t i = 0; i < t->n; i++)
        row_release(&t->rows[i]);
    if (t->has_pending)
        row_release(&t->pending);
    free(t->rows);
}

/* ---- reading ---- */

struct when {
    int month;
    int64_t us; /* since an epoch of its own */
};

/* "I1121 13:40:00.123456 ..." or, as newer glog has it, "I20261121 13:40:00.123456". */
static bool read_time(const char *line, int year, struct when *ret_when)
{
    int digits = 0, month, day, hour, minute, second, used = 0;
    long us;
    line += strspn(line, " \t");
    if (!isalpha((unsigned char)*line))
        return false;
    line++;
    while (isdigit((unsigned char)line[digits]))
        digits++;
    const char *date = line;
    if (digits == 8 && sscanf(date, "%4d", &year) == 1)
        date += 4;
    else if (digits != 4)
        return false;
    if (sscanf(date, "%2d%2d %d:%d:%d.%6ld%n", &month, &day, &hour, &minute, &second, &us, &used) != 6 ||
        !used)
        return false;
    if (month < 1 || month > 12 || day < 1 || day > 31)
        return false;
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = month - 1,
                    .tm_mday = day,
                    .tm_hour = hour,
                    .tm_min = minute,
                    .tm_sec = second};
    *ret_when = (struct when){month, (int64_t)timegm(&tm) * 1000000 + us};
    return true;
}

/* The text behind the first `marker` that is followed by a digit; NULL: there is none. */
static const char *after_marker(const char *line, const char *marker)
{
    size_t size = strlen(marker);
    for (const char *at = line; (at = strstr(at, marker)); at++)
        if (isdigit((unsigned char)at[size]))
            return at + size;
    return NULL;
}

/* A number in digits: what else stands there, as nan, is no match in parse_log.py either. */
static bool read_number(const char *text, double *ret_number)
{
    char *end;
    size_t size = strspn(text, ".0123456789eE+-");
    CLEANUP(freep) char *number = xasprintf("%.*s", (int)MIN(size, 64u), text);
    *ret_number = strtod(number, &end);
    return size > 0 && end != number && !*end;
}

static void row_set(struct row *r, const char *name, size_t size, double value)
{
    for (int i = 0; i < r->n_outputs; i++)
        if (strlen(r->outputs[i].name) == size && !memcmp(r->outputs[i].name, name, size)) {
            r->outputs[i].value = value;
            return;
        }
    if (r->n_outputs == OUTPUTS_MAX)
        return;
    r->outputs = xrealloc(r->outputs, ((size_t)r->n_outputs + 1) * sizeof(*r->outputs));
    r->outputs[r->n_outputs++] = (struct output_value){xasprintf("%.*s", (int)size, name), value};
}

static void take_pending(struct table *t)
{
    if (t->n == t->allocated) {
        t->allocated = 2 * t->allocated + 64;
        t->rows = xrealloc(t->rows, t->allocated * sizeof(*t->rows));
    }
    t->rows[t->n++] = t->pending;
    t->pending = (struct row){0};
    t->has_pending = false;
}

/* "#0: loss = 0.25", when the line has it. */
static void read_output(struct table *t, const char *line, const struct row *now)
{
    double value;
    const char *at = after_marker(line, t->marker);
    if (!at)
        return;
    at += strspn(at, "0123456789");
    if (strncmp(at, ": ", 2))
        return;
    const char *name = at + 2;
    size_t size = strcspn(name, " \t\r\n");
    if (!size || strncmp(name + size, " = ", 3) || !read_number(name + size + 3, &value))
        return;
    if (t->has_pending && t->pending.iteration != now->iteration)
        take_pending(t);
    if (!t->has_pending) {
        t->pending = *now;
        t->has_pending = true;
    }
    row_set(&t->pending, name, size, value);
    if (t->n && t->pending.n_outputs == t->rows[0].n_outputs)
        take_pending(t);
}

/* Where the log's year is not said it is that of the file. */
static int year_of(const struct stat *status)
{
    struct tm tm;
    localtime_r(&status->st_ctime, &tm);
    return tm.tm_year + 1900;
}

static enum status read_log(FILE *file, const char *path, struct table *train, struct table *test,
                            struct error *err)
{
    struct stat status;
    if (fstat(fileno(file), &status))
        return error_set(err, FAILED, "cannot look at '%s': %s", path, strerror(errno));
    int year = year_of(&status);
    struct when start = {0}, last = {0}, when;
    struct row now = {.iteration = -1, .rate = NAN};
    bool started = false;
    CLEANUP(freep) char *line = NULL;
    size_t allocated = 0;
    while (getline(&line, &allocated, file) > 0) {
        if (!started) {
            started = strstr(line, "Solving") && read_time(line, year, &start);
            last = start;
            continue;
        }
        const char *iteration = after_marker(line, "Iteration ");
        if (iteration)
            now.iteration = strtod(iteration, NULL);
        if (now.iteration < 0 || !read_time(line, year, &when))
            continue;
        if (when.month < last.month)
            read_time(line, ++year, &when);
        last = when;
        now.seconds = (double)(when.us - start.us) / 1e6;
        const char *rate = strstr(line, "lr = ");
        double number;
        if (rate && read_number(rate + 5, &number))
            now.rate = number;
        read_output(train, line, &now);
        read_output(test, line, &now);
    }
    if (ferror(file))
        return error_set(err, FAILED, "cannot read '%s': %s", path, strerror(errno));
    if (!started)
        return error_set(err, INVALID, "'%s' is no training log: no line says 'Solving'", path);
    return OK;
}

/* ---- writing ---- */

/* As Python prints a float: the shortest digits that read back the same. */
static void put_double(struct buf *out, double value)
{
    char text[40];
    int digits = 1;
    if (isnan(value)) {
        buf_puts(out, "nan");
        return;
    }
    do
        snprintf(text, sizeof(text), "%.*e", digits - 1, value);
    while (strtod(text, NULL) != value && digits++ < 17);
    long exponent = strtol(strchr(text, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16)
        buf_puts(out, text);
    else
        buf_printf(out, "%.*f", (int)MAX(digits - 1 - exponent, 1), value);
}

static void put_name(struct buf *out, const char *name, char delimiter)
{
    if (!strchr(name, delimiter) && !strchr(name, '"')) {
        buf_puts(out, name);
        return;
    }
    buf_putc(out, '"');
    for (; *name; name++)
        buf_printf(out, *name == '"' ? "\"%c" : "%c", *name);
    buf_putc(out, '"');
}

static void put_row(struct buf *out, const struct row *head, const struct row *row, char delimiter)
{
    const double first[] = {row->iteration, row->seconds, row->rate};
    for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
        if (i)
            buf_putc(out, delimiter);
        put_double(out, first[i]);
    }
    for (int i = 0; i < head->n_outputs; i++) {
        buf_putc(out, delimiter);
        for (int k = 0; k < row->n_outputs; k++)
            if (!strcmp(row->outputs[k].name, head->outputs[i].name))
                put_double(out, row->outputs[k].value);
    }
    buf_puts(out, "\r\n");
}

static enum status write_table(struct table *t, const char *path, char delimiter, bool verbose,
                               struct error *err)
{
    if (!t->n) {
        if (verbose)
            printf("Not writing %s; no lines to write\n", path);
        return OK;
    }
    /* The rate is told after the first outputs. */
    if (t->n > 1)
        t->rows[0].rate = t->rows[1].rate;
    struct buf out;
    buf_init(&out, (size_t)1 << 31);
    buf_printf(&out, "NumIters%cSeconds%cLearningRate", delimiter, delimiter);
    for (int i = 0; i < t->rows[0].n_outputs; i++) {
        buf_putc(&out, delimiter);
        put_name(&out, t->rows[0].outputs[i].name, delimiter);
    }
    buf_puts(&out, "\r\n");
    for (size_t i = 0; i < t->n; i++)
        put_row(&out, &t->rows[0], &t->rows[i], delimiter);
    enum status status = out.overflowed ? error_set(err, TOO_LARGE, "'%s' would be over 2 GiB", path)
                                        : file_write(path, out.data, out.size, 0666, err);
    buf_release(&out);
    if (status == OK && verbose)
        printf("Wrote %s\n", path);
    return status;
}

static enum status parse_log(const char *path, const char *folder, char delimiter, bool verbose,
                             struct error *err)
{
    CLEANUP(table_release) struct table train = {.marker = "Train net output #"};
    CLEANUP(table_release) struct table test = {.marker = "Test net output #"};
    CLEANUP(file_closep) FILE *file = fopen(path, "rbe");
    if (!file)
        return error_set(err, status_from_errno(errno), "cannot open '%s': %s", path, strerror(errno));
    TRY(read_log(file, path, &train, &test, err));
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    CLEANUP(freep) char *train_path = xasprintf("%s/%s.train", folder, base);
    CLEANUP(freep) char *test_path = xasprintf("%s/%s.test", folder, base);
    TRY(write_table(&train, train_path, delimiter, verbose, err));
    return write_table(&test, test_path, delimiter, verbose, err);
}

int command_parse_log(int argc, char **argv)
{
    static const char *const name = "parse-log";
    static const struct option options[] = {
        {"delimiter", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},
        {"verbose", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    char delimiter = ',';
    bool verbose = false;
    optind = 0;
    opterr = 0;
    for (int flag; (flag = getopt_long_only(argc, argv, "", options, NULL)) != -1;) {
        if (flag == 'h')
            return fputs(help, stdout), EXIT_DONE;
        if (flag == '?')
            return command_usage(name, "flag '%s' is not known, or has no value", argv[optind - 1]);
        if (flag == 'v')
            verbose = true;
        else if (strlen(optarg) == 1)
            delimiter = *optarg;
        else
            return command_usage(name, "--delimiter is '%s'; it must be one character", optarg);
    }
    int n = argc - optind;
    if (n < 1 || n > 2)
        return command_usage(name, "one or two names are needed: LOG [OUT_DIR]");
    struct error err;
    return parse_log(argv[optind], n > 1 ? argv[optind + 1] : ".", delimiter, verbose, &err) == OK
               ? EXIT_DONE
               : command_fail(&err);
}
