/* check.c - `et check`: a net and its solver explained, and all that is wrong with them, without training. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/net_facts.h"
#include "engine/optimizer.h"

static const char help[] =
    "usage: et check NET [flags]\n\n"
    "Shows the layers of a net with shapes, parameters, memory and operations, and\n"
    "tells everything that is wrong with it, without training.  NET is a prototxt.\n"
    "Data that is not there is a warning: say its shape with --input.\n\n"
    "  --solver=FILE            check the solver too, and the net in the states it asks for\n"
    "  --input NAME=N,C,H,W     shape of a blob that comes from outside (repeatable)\n"
    "  --phase=PHASE            look at TRAIN or TEST only; the table shows TRAIN else\n"
    "  --threads=N              threads that would compute (all processors)\n"
    "  --precision=P            f32, or bf16: the peaks of `et train` and `et test` with it\n"
    "  --json                   the same as JSON\n\n"
    "Memory is that of a layer's tops and parameters.  The peaks are what `et train`\n"
    "and `et test` would take in all.\n\n"
    "exit status: 0 the net is right, 1 it is not, 2 wrong usage\n"
    "\nexample:\n"
    "  et check lenet_train_test.prototxt --input data=64,1,28,28\n";

struct settings {
    const char *net, *solver;
    struct input_shapes inputs;
    bool one_phase, json;
    Caffe__Phase phase;
    struct peak_options peak;
};

/* All that check found. */
struct findings {
    struct problems errors, warnings;
    struct netdef *def; /* of the table; NULL: none could be made */
    struct peak peak;
    Caffe__NetParameter *net;
    Caffe__SolverParameter *solver;
};

static void findings_release(struct findings *f)
{
    problems_release(&f->errors);
    problems_release(&f->warnings);
    netdef_free(f->def);
    if (f->net)
        caffe__net_parameter__free_unpacked(f->net, NULL);
    if (f->solver)
        caffe__solver_parameter__free_unpacked(f->solver, NULL);
}

/* The same mistake in both phases is one. */
static void note_new(struct problems *to, const struct problems *from)
{
    for (int i = 0; i < problems_n_kept(from); i++) {
        bool known = false;
        for (int k = 0; k < problems_n_kept(to); k++)
            known = known || !strcmp(to->kept[k].message, from->kept[i].message);
        if (!known)
            problems_note(to, from->kept[i].status, &from->kept[i]);
    }
}

static void note_phase(struct findings *f, struct settings *s, int test)
{
    CLEANUP(net_state_release) struct net_state state = {0};
    CLEANUP(freep) struct source_shape *sources = NULL;
    CLEANUP(problems_release) struct problems errors = {0};
    CLEANUP(problems_release) struct problems warnings = {0};
    CLEANUP(netdef_freep) struct netdef *def = NULL;
    struct error err;
    solver_state_of(f->net, f->solver, test, &state);
    struct netdef_options options = net_state_options(&state);
    sources_look(f->net, &options, &s->inputs, &warnings, &sources, &options.n_sources);
    options.sources = sources;
    options.problems = &errors;
    enum status status = netdef_create(f->net, &options, &def, &err);
    problems_note(&errors, status, &err);
    if (status == OK)
        for (int i = 0; i < def->n_layers; i++)
            if (*def->layers[i].type->name && !layer_ops_find(def->layers[i].type->name))
                problems_note(&errors,
                              error_set(&err, UNSUPPORTED, "layer '%s': type %s is not in this build",
                                        def->layers[i].name, def->layers[i].type->name),
                              &err);
    note_new(&f->errors, &errors);
    note_new(&f->warnings, &warnings);
    if (!f->def)
        f->def = TAKE(def);
}

static void note_solver(struct findings *f, const char *path)
{
    struct error err;
    enum status status = solver_read_file_noting(path, &f->errors, &f->solver, &err);
    problems_note(&f->errors, status, &err);
    if (status != OK)
        return;
    if (optimizer_check(f->solver, &err) != OK)
        problems_note(&f->errors, error_context(&err, "solver '%s'", path), &err);
    if (f->solver->max_iter < 1)
        problems_note(&f->errors, error_set(&err, INVALID, "solver '%s': max_iter must be at least 1", path),
                      &err);
    if (f->solver->n_test_iter && f->solver->test_interval < 1)
        problems_note(&f->errors,
                      error_set(&err, INVALID,
                                "solver '%s': test_interval must be above 0 when there is test_iter", path),
                      &err);
    if (f->solver->average_loss < 1)
        problems_note(&f->errors,
                      error_set(&err, INVALID, "solver '%s': average_loss must be at least 1", path), &err);
}

static void check(struct settings *s, struct findings *f)
{
    struct error err;
    enum status status = net_read_file_noting(s->net, &f->errors, &f->net, &err);
    problems_note(&f->errors, status, &err);
    if (s->solver)
        note_solver(f, s->solver);
    f->peak = (struct peak){-1, -1};
    if (precision_check(s->peak.precision, &err) != OK)
        problems_note(&f->errors, UNSUPPORTED, &err);
    if (status != OK)
        return;
    if (!s->one_phase || s->phase == CAFFE__PHASE__TRAIN)
        note_phase(f, s, -1);
    int n_tests = f->solver ? (int)f->solver->n_test_state : 0;
    for (int i = 0; (!s->one_phase || s->phase == CAFFE__PHASE__TEST) && i < MAX(n_tests, 1); i++)
        note_phase(f, s, i);
    for (int i = 0; i < s->inputs.n; i++)
        if (!s->inputs.each[i].is_used)
            problems_note(&f->errors,
                          error_set(&err, INVALID, "input '%s': no layer brings that blob in from outside",
                                    s->inputs.each[i].name),
                          &err);
    if (f->errors.n)
        return;
    status = peak_estimate(f->net, f->solver, &s->inputs, &s->peak, &f->peak, &err);
    /* What is not known is no mistake when a warning says why. */
    if (status != OK && !f->warnings.n)
        problems_note(&f->warnings, error_context(&err, "the peak memory is not known"), &err);
}

/* ---- telling ---- */

struct totals {
    int64_t n_parameters, parameter_bytes, top_bytes, operations;
    bool is_unknown; /* a shape is */
};

static const char *tops_text(const struct netdef *def, const struct layer_def *layer, struct buf *out)
{
    char text[SHAPE_TEXT_MAX];
    buf_clear(out);
    for (int t = 0; t < layer->n_tops; t++) {
        if (t == 3 && layer->n_tops > 4) {
            buf_printf(out, ", and %d more", layer->n_tops - t);
            break;
        }
        buf_printf(out, "%s%s", t ? ", " : "", dims_text(&def->blobs[layer->tops[t]].shape, text));
    }
    return out->data;
}

static void add(struct totals *t, const struct layer_facts *facts)
{
    t->n_parameters += facts->n_parameters;
    t->parameter_bytes += facts->parameter_bytes;
    t->top_bytes += MAX(facts->top_bytes, 0);
    t->is_unknown = t->is_unknown || facts->top_bytes < 0;
    t->operations += facts->operations;
}

static int column_width(const struct netdef *def, bool of_type)
{
    int width = 5;
    for (int i = 0; i < def->n_layers; i++) {
        const struct layer_def *layer = &def->layers[i];
        const char *text = of_type ? (layer->param->type ? layer->param->type : "") : layer->name;
        width = MAX(width, (int)MIN(strlen(text), (size_t)40));
    }
    return width;
}

static void print_row(const int width[2], const char *name, const char *type, const char *shapes,
                      const struct totals *t)
{
    char parameters[NUMBER_TEXT_MAX], memory[NUMBER_TEXT_MAX], operations[NUMBER_TEXT_MAX];
    printf("%-*.40s  %-*.40s  %-28s %11s %12s %11s\n", width[0], name, width[1], type, shapes,
           count_text(t->n_parameters, parameters),
           t->is_unknown ? "?" : bytes_text(t->top_bytes + t->parameter_bytes, memory),
           count_text(t->operations, operations));
}

static void print_table(const struct netdef *def)
{
    const int width[2] = {column_width(def, false), column_width(def, true)};
    struct totals all = {0};
    struct buf shapes;
    buf_init(&shapes, 1 << 16);
    printf("%-*s  %-*s  %-28s %11s %12s %11s\n", width[0], "LAYER", width[1], "TYPE", "TOPS", "PARAMETERS",
           "MEMORY", "OPERATIONS");
    for (int i = 0; i < def->n_layers; i++) {
        const struct layer_def *layer = &def->layers[i];
        struct layer_facts facts = layer_facts(def, i);
        struct totals row = {0};
        add(&row, &facts);
        add(&all, &facts);
        print_row(width, layer->name, layer->param->type ? layer->param->type : "",
                  tops_text(def, layer, &shapes), &row);
    }
    print_row(width, "total", "", "", &all);
    buf_release(&shapes);
}

static void print_problems(const char *what, const struct problems *p)
{
    for (int i = 0; i < problems_n_kept(p); i++)
        fprintf(stderr, "%s: %s\n", what, p->kept[i].message);
    if (p->n > PROBLEMS_MAX)
        fprintf(stderr, "%s: and %d more\n", what, p->n - PROBLEMS_MAX);
}

static void print_peak(const char *what, int64_t bytes)
{
    char text[NUMBER_TEXT_MAX];
    printf("%s: %s\n", what, bytes < 0 ? "not known" : bytes_text(bytes, text));
}

static void tell(const struct findings *f)
{
    if (f->def) {
        print_table(f->def);
        print_peak("\npeak memory of training", f->peak.training);
        print_peak("peak memory of inference", f->peak.inference);
    }
    fflush(stdout);
    print_problems("warning", &f->warnings);
    print_problems("error", &f->errors);
}

static json_t *json_of_problems(const struct problems *p)
{
    json_t *array = json_array();
    for (int i = 0; i < problems_n_kept(p); i++) {
        json_t *one = json_pack("{ss}", "message", p->kept[i].message);
        if (p->kept[i].line > 0) {
            json_object_set_new(one, "line", json_integer(p->kept[i].line));
            json_object_set_new(one, "column", json_integer(p->kept[i].column));
        }
        json_array_append_new(array, one);
    }
    return array;
}

static json_t *json_of_shape(const struct shape *shape)
{
    if (!shape_is_known(shape))
        return json_null();
    json_t *dims = json_array();
    for (int i = 0; i < shape->n_axes; i++)
        json_array_append_new(dims, json_integer(shape->dim[i]));
    return dims;
}

static json_t *json_of_layer(const struct netdef *def, int index)
{
    const struct layer_def *layer = &def->layers[index];
    struct layer_facts facts = layer_facts(def, index);
    json_t *tops = json_array();
    for (int t = 0; t < layer->n_tops; t++)
        json_array_append_new(tops, json_pack("{ssso}", "name", def->blobs[layer->tops[t]].name, "shape",
                                              json_of_shape(&def->blobs[layer->tops[t]].shape)));
    json_t *bottoms = json_array();
    for (int b = 0; b < layer->n_bottoms; b++)
        json_array_append_new(bottoms, json_string(def->blobs[layer->bottoms[b]].name));
    return json_pack("{ss ss so so sI sI sI}", "name", layer->name, "type",
                     layer->param->type ? layer->param->type : "", "bottoms", bottoms, "tops", tops,
                     "parameters", (json_int_t)facts.n_parameters, "memory-bytes",
                     (json_int_t)(facts.parameter_bytes + MAX(facts.top_bytes, 0)), "operations",
                     (json_int_t)facts.operations);
}

static json_t *byte_count_json(int64_t bytes)
{
    return bytes < 0 ? json_null() : json_integer(bytes);
}

static void tell_json(const struct findings *f)
{
    CLEANUP(json_decrefp) json_t *all = json_object();
    json_t *layers = json_array();
    struct totals totals = {0};
    for (int i = 0; f->def && i < f->def->n_layers; i++) {
        struct layer_facts facts = layer_facts(f->def, i);
        add(&totals, &facts);
        json_array_append_new(layers, json_of_layer(f->def, i));
    }
    json_object_set_new(all, "errors", json_of_problems(&f->errors));
    json_object_set_new(all, "warnings", json_of_problems(&f->warnings));
    json_object_set_new(all, "layers", layers);
    json_object_set_new(all, "parameters", json_integer(totals.n_parameters));
    json_object_set_new(all, "operations", json_integer(totals.operations));
    json_object_set_new(all, "training-peak-bytes", byte_count_json(f->peak.training));
    json_object_set_new(all, "inference-peak-bytes", byte_count_json(f->peak.inference));
    CLEANUP(freep) char *text = json_text(all);
    puts(text);
}

/* ---- the command ---- */

static bool read_threads(const char *text, int *ret_threads)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < 0 || value > INT_MAX)
        return false;
    *ret_threads = (int)value;
    return true;
}

static enum status take_flag(int flag, const char *value, struct settings *s, struct error *err)
{
    switch (flag) {
    case 's':
        s->solver = value;
        return OK;
    case 'i':
        return input_shapes_add(&s->inputs, value, err);
    case 'j':
        s->json = true;
        return OK;
    case 'p':
        s->one_phase = true;
        s->phase = strcmp(value, "TEST") ? CAFFE__PHASE__TRAIN : CAFFE__PHASE__TEST;
        return !strcmp(value, "TEST") || !strcmp(value, "TRAIN")
                   ? OK
                   : error_set(err, INVALID, "--phase is '%s'; it must be TRAIN or TEST", value);
    case 'b':
        return precision_read(value, &s->peak.precision)
                   ? OK
                   : error_set(err, INVALID, "--precision is '%s'; it must be f32 or bf16", value);
    default:
        return read_threads(value, &s->peak.threads)
                   ? OK
                   : error_set(err, INVALID, "--threads is '%s'; it must be a number, or 0 for all", value);
    }
}

static void settings_release(struct settings *s)
{
    input_shapes_release(&s->inputs);
}

int command_check(int argc, char **argv)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {"input", required_argument, NULL, 'i'},
        {"json", no_argument, NULL, 'j'},
        {"phase", required_argument, NULL, 'p'},
        {"precision", required_argument, NULL, 'b'},
        {"solver", required_argument, NULL, 's'},
        {"threads", required_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    CLEANUP(settings_release) struct settings s = {0};
    struct error err;
    optind = 0;
    opterr = 0;
    for (int flag; (flag = getopt_long_only(argc, argv, "", options, NULL)) != -1;) {
        if (flag == '?')
            return command_usage("check", "flag '%s' is not known, or has no value", argv[optind - 1]);
        if (flag == 'h')
            return fputs(help, stdout), EXIT_DONE;
        if (take_flag(flag, optarg, &s, &err) != OK)
            return command_usage("check", "%s", err.message);
    }
    if (argc - optind != 1)
        return command_usage("check", "one net is needed: NET");
    s.net = argv[optind];
    CLEANUP(findings_release) struct findings found = {0};
    check(&s, &found);
    if (s.json)
        tell_json(&found);
    else
        tell(&found);
    return found.errors.n ? EXIT_WORK_FAILED : EXIT_DONE;
}
