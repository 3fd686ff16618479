#include "worker/script_output.h"

#include <math.h>
#include <string.h>

#define METRIC_NAME_MAX 63
#define STEP_MAX        9e15 /* a whole number that a double holds */

void script_output_init(struct script_output *o,
                        void (*metric)(void *context, const char *name, int64_t step, double value),
                        void *context)
{
    *o = (struct script_output){.metric = metric, .context = context, .next_step = json_object()};
    buf_init(&o->line, SCRIPT_LINE_MAX);
}

void script_output_release(struct script_output *o)
{
    buf_release(&o->line);
    json_decref(o->result);
    json_decref(o->next_step);
}

/* ---- one line ---- */

/*
 * The same text with Python's words for what JSON has no number for as
 * strings: {"value": -Infinity} is {"value": "-Infinity"}.
 */
static void quote_words(const struct buf *line, struct buf *out)
{
    static const char *const words[] = {"NaN", "Infinity", "-Infinity"};
    bool in_string = false;
    for (const char *c = line->data; *c;) {
        size_t taken = 0;
        for (size_t i = 0; !in_string && i < ARRAY_SIZE(words); i++)
            if (!strncmp(c, words[i], strlen(words[i])))
                taken = strlen(words[i]);
        if (taken) {
            buf_putc(out, '"');
            buf_append(out, c, taken);
            buf_putc(out, '"');
            c += taken;
            continue;
        }
        if (in_string && *c == '\\' && c[1])
            buf_putc(out, *c++);
        else if (*c == '"')
            in_string = !in_string;
        buf_putc(out, *c++);
    }
}

/* An object, or NULL. */
static json_t *read_object(const struct buf *line)
{
    json_t *json = NULL;
    if (line->data[strspn(line->data, " \t")] != '{' || memchr(line->data, '\0', line->size))
        return NULL;
    if (json_read(line->data, line->size, &json, NULL) == OK)
        return json;
    struct buf quoted;
    buf_init(&quoted, 2 * SCRIPT_LINE_MAX);
    quote_words(line, &quoted);
    if (quoted.overflowed || json_read(quoted.data, quoted.size, &json, NULL) != OK)
        json = NULL;
    buf_release(&quoted);
    return json;
}

static bool read_value(const json_t *json, double *ret_value)
{
    const char *word = json_string_value(json);
    if (!word) {
        *ret_value = json_number_value(json);
        return json_is_number(json);
    }
    *ret_value = !strcmp(word, "NaN") ? NAN : *word == '-' ? -INFINITY : INFINITY;
    return !strcmp(word, "NaN") || !strcmp(word, "Infinity") || !strcmp(word, "-Infinity");
}

static bool read_step(const struct script_output *o, const json_t *metric, const char *name,
                      int64_t *ret_step)
{
    const json_t *step = json_object_get(metric, "step");
    double number = json_number_value(step);
    if (!step)
        *ret_step = json_get_int(o->next_step, name, 0);
    else if (json_is_integer(step))
        *ret_step = json_integer_value(step);
    else if (json_is_real(step) && number == floor(number) && fabs(number) < STEP_MAX)
        *ret_step = (int64_t)number;
    else
        return false;
    return *ret_step < INT64_MAX;
}

static void take_metric(struct script_output *o, const json_t *metric)
{
    const char *name = json_get_string(metric, "metric", "");
    int64_t step;
    double value;
    if (!*name || strlen(name) > METRIC_NAME_MAX || !read_step(o, metric, name, &step) ||
        !read_value(json_object_get(metric, "value"), &value)) {
        o->n_refused++;
        return;
    }
    json_object_set_new(o->next_step, name, json_integer(step + 1));
    o->metric(o->context, name, step, value);
}

static void take_line(struct script_output *o)
{
    json_t *json = o->line.overflowed ? NULL : read_object(&o->line);
    bool is_outcome = o->is_order && !json_object_get(json, "value");
    if (json_object_get(json, "metric") && !is_outcome) {
        take_metric(o, json);
    } else if (json) {
        json_decref(o->result);
        o->result = json_incref(json);
    }
    json_decref(json);
    buf_clear(&o->line);
}

/* ---- the stream ---- */

void script_output_feed(struct script_output *o, const char *bytes, size_t size)
{
    while (size) {
        const char *end = memchr(bytes, '\n', size);
        size_t n = end ? (size_t)(end - bytes) : size;
        buf_append(&o->line, bytes, n);
        if (!end)
            return;
        take_line(o);
        bytes += n + 1;
        size -= n + 1;
    }
}

void script_output_end(struct script_output *o)
{
    if (o->line.size)
        take_line(o);
}
