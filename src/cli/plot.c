/* plot.c - `et plot`: a job's curves in the terminal, or as SVG. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/chart.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/layer_bars.h"
#include "cli/terminal.h"

#define OUT_MAX    (64 * 1024 * 1024)
#define CHART_ROWS 10
#define POINTS     2000

static const char help[] =
    "usage: et plot [--metric NAME | --layers] [--svg FILE] [options] ID\n\n"
    "Draws what a training job measured: loss, accuracy, learning rate, ...\n\n"
    "  -m, --metric NAME      this curve only\n"
    "      --layers           average time of each layer instead, once it is finished\n"
    "      --svg FILE         write a picture instead; - is standard output\n" CLIENT_OPTIONS_HELP
    "\nNO_COLOR in the environment turns colours off.\n\nexample:\n"
    "  et plot --metric loss 019a3f0c1d2e4b5a69788796a5b4c3d2\n";

struct options {
    struct client_settings settings;
    const char *id, *metric, *svg;
    bool layers;
};

static double value_of(const json_t *json)
{
    const char *word = json_string_value(json);
    return !word                        ? json_number_value(json)
           : !strcmp(word, "Infinity")  ? INFINITY
           : !strcmp(word, "-Infinity") ? -INFINITY
                                        : NAN;
}

struct curves {
    int n;
    struct curve *items;
    double *numbers; /* of all of them */
};

static void curves_release(struct curves *c)
{
    free(c->items);
    free(c->numbers);
}

/* Names are lent by the JSON. */
static void read_curves(const json_t *series, struct curves *ret_curves)
{
    size_t n_numbers = 0, i, k;
    json_t *one, *value;
    json_array_foreach((json_t *)series, i, one)
        n_numbers += 2 * json_array_size(json_object_get(one, "values"));
    struct curves c = {.items = xcalloc(json_array_size(series) + 1, sizeof *c.items),
                       .numbers = xcalloc(n_numbers + 1, sizeof *c.numbers)};
    double *next = c.numbers;
    json_array_foreach((json_t *)series, i, one) {
        const json_t *steps = json_object_get(one, "steps");
        int n = (int)json_array_size(json_object_get(one, "values"));
        json_array_foreach(json_object_get(one, "values"), k, value) {
            next[k] = json_number_value(json_array_get(steps, k));
            next[n + (int)k] = value_of(value);
        }
        c.items[c.n++] = (struct curve){.name = json_get_string(one, "name", ""),
                                        .n = n,
                                        .x = next,
                                        .y = next + n,
                                        .n_nan = json_get_int(one, "nan-count", 0)};
        next += 2 * n;
    }
    *ret_curves = c;
}

static enum status write_svg(const char *path, const struct buf *svg, struct error *err)
{
    bool to_stdout = !strcmp(path, "-");
    CLEANUP(file_closep) FILE *file = to_stdout ? NULL : fopen(path, "wbe");
    FILE *out = to_stdout ? stdout : file;
    if (!out)
        return error_set(err, status_from_errno(errno), "cannot create '%s': %s", path, strerror(errno));
    if (fwrite(svg->data, 1, svg->size, out) != svg->size || fflush(out))
        return error_set(err, status_from_errno(errno), "cannot write '%s': %s", path, strerror(errno));
    return OK;
}

static struct chart_style style_of(const struct terminal *terminal)
{
    return (struct chart_style){
        .columns = MIN(terminal->columns, 160),
        .rows = CHART_ROWS,
        .utf8 = terminal->has_utf8,
        .colour = terminal->has_colour,
    };
}

static enum status show_layers(struct client *c, const struct options *o, const json_t *document,
                               struct error *err)
{
    json_t *times = json_object_get(document, "layer-times");
    struct terminal terminal;
    CLEANUP(buf_release) struct buf out;
    buf_init(&out, OUT_MAX);
    if (!times)
        return error_set(err, INVALID, "'%s' is no training job: only these have times of their layers",
                         o->id);
    if (!json_array_size(times))
        return error_set(err, NOT_FOUND, "'%s' has no times of its layers: they come when it is finished",
                         o->id);
    if (c->as_json) {
        client_print(c, times, " ");
        return OK;
    }
    if (o->svg) {
        layer_bars_svg(times, o->id, &out);
        return write_svg(o->svg, &out, err);
    }
    terminal_look(&terminal);
    const struct chart_style style = style_of(&terminal);
    layer_bars_text(times, &style, &out);
    fwrite(out.data, 1, out.size, stdout);
    return OK;
}

static enum status show(struct client *c, const struct options *o, struct error *err)
{
    CLEANUP(json_decrefp) json_t *document = NULL;
    CLEANUP(json_decrefp) json_t *metrics = NULL;
    CLEANUP(curves_release) struct curves curves = {0};
    CLEANUP(buf_release) struct buf out;
    buf_init(&out, OUT_MAX);
    TRY(client_document(c, o->id, &document, err));
    const char *collection = client_collection(json_get_string(document, "type", ""));
    if (!collection || (strcmp(collection, "training-jobs") && strcmp(collection, "jobs")))
        return error_set(err, INVALID, "'%s' (%s) has no curves: training jobs and scripts have", o->id,
                         json_get_string(document, "type", "document"));
    if (o->layers)
        return show_layers(c, o, document, err);
    CLEANUP(freep) char *path = xasprintf("/%s/%s/metrics?points=%d", collection, o->id, POINTS);
    TRY(client_json(c, "GET", path, NULL, &metrics, err));
    json_t *series = json_object_get(metrics, "series");
    for (size_t i = json_array_size(series); o->metric && i-- > 0;)
        if (strcmp(json_get_string(json_array_get(series, i), "name", ""), o->metric) != 0)
            json_array_remove(series, i);
    if (c->as_json) {
        client_print(c, metrics, " ");
        return OK;
    }
    if (!json_array_size(series))
        return o->metric ? error_set(err, NOT_FOUND, "'%s' has no metric '%s' so far", o->id, o->metric)
                         : error_set(err, NOT_FOUND, "'%s' has measured nothing so far", o->id);
    read_curves(series, &curves);
    if (o->svg) {
        chart_svg(curves.items, curves.n, o->id, &out);
        return write_svg(o->svg, &out, err);
    }
    struct terminal terminal;
    terminal_look(&terminal);
    const struct chart_style style = style_of(&terminal);
    for (int i = 0; i < curves.n; i++)
        chart_text(&curves.items[i], &style, &out);
    fwrite(out.data, 1, out.size, stdout);
    return OK;
}

int command_plot(int argc, char **argv)
{
    enum { SVG = 1, LAYERS };
    static const struct option options[] = {{"metric", required_argument, NULL, 'm'},
                                            {"layers", no_argument, NULL, LAYERS},
                                            {"svg", required_argument, NULL, SVG},
                                            {"help", no_argument, NULL, 'h'},
                                            CLIENT_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    struct options o = {0};
    for (int option; (option = getopt_long(argc, argv, "m:h", options, NULL)) != -1;) {
        if (option == 'm')
            o.metric = optarg;
        else if (option == LAYERS)
            o.layers = true;
        else if (option == SVG)
            o.svg = optarg;
        else if (option == 'h')
            return fputs(help, stdout), EXIT_DONE;
        else if (!client_option(option, optarg, &o.settings))
            return EXIT_USAGE;
    }
    if (optind == argc)
        return command_usage("plot", "an id is needed");
    if (optind + 1 < argc)
        return command_usage("plot", "'%s' is one argument too many", argv[optind + 1]);
    o.id = argv[optind];
    struct error err = {0};
    CLEANUP(client_release) struct client c = {0};
    if (client_open(&o.settings, true, &c, &err) != OK || show(&c, &o, &err) != OK)
        return command_fail(&err);
    return EXIT_DONE;
}
