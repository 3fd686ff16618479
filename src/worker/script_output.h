/*
 * script_output.h - what a script prints, understood line by line:
 *
 *   {"metric": "loss", "step": 100, "value": 0.25}   a metric; step may be absent: the next one
 *   {"anything": "else"}                             the result, if it is the last
 *   anything else                                    nothing but a line of the log
 *
 * A Boss's Outcome has a "metric" of its own, without "value": where that is
 * expected, only what has both is a metric.
 *
 * Python's NaN, Infinity and -Infinity are numbers here.  A line that is too
 * long, no UTF-8 or half JSON is a line of the log.
 */
#ifndef ET_SCRIPT_OUTPUT_H
#define ET_SCRIPT_OUTPUT_H

#include "base/buf.h"
#include "base/json.h"

#define SCRIPT_LINE_MAX (256 * 1024)

struct script_output {
    void (*metric)(void *context, const char *name, int64_t step, double value);
    void *context;
    bool is_order;     /* set after init: the result is an Outcome */
    struct buf line;   /* what has come of the present one */
    json_t *result;    /* NULL: none yet */
    json_t *next_step; /* of metrics that did not say theirs, by name */
    int64_t n_refused; /* metrics that were none */
};

void script_output_init(struct script_output *o,
                        void (*metric)(void *context, const char *name, int64_t step, double value),
                        void *context);
void script_output_release(struct script_output *o);

void script_output_feed(struct script_output *o, const char *bytes, size_t size);
/* The last line may have no end. */
void script_output_end(struct script_output *o);

#endif
