/* draw_net.c - `et draw-net`: a net as a picture, SVG: layers with shapes, parameters, memory and cost. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/graph_layout.h"
#include "cli/net_facts.h"

static const char help[] =
    "usage: et draw-net NET OUT.svg [flags]\n\n"
    "Draws the layers of a net, each with its settings, the shape it makes, its parameters,\n"
    "memory and operations; a bar below shows its share of the operations.  Layers that\n"
    "work in place are named in the box of the layer that they change.\n\n"
    "  --phase=PHASE          TRAIN (default) or TEST\n"
    "  --input NAME=N,C,H,W   shape of a blob that comes from outside (repeatable)\n"
    "\nexample:\n"
    "  et draw-net lenet_train_test.prototxt lenet.svg --input data=64,1,28,28\n";

enum { BOXES_MAX = 4000, SVG_MAX = 64 << 20, LINES_MAX = 12, LINE_BYTES = 160, LINE_CHARS = 44 };

/* Pixels. */
#define FONT         12
#define TEXT_WIDTH   7.0
#define BOLD_WIDTH   8.0
#define LINE_HEIGHT  16
#define PADDING      10
#define BAR_HEIGHT   4
#define MARGIN       24
#define GAP_X        26
#define GAP_Y        34
#define TITLE_HEIGHT 44

struct box {
    int layer;
    int n_lines;
    char lines[LINES_MAX][LINE_BYTES]; /* the first is the name */
    int n_in_place;                    /* lines at the end; more are counted in the last of them */
    int64_t operations;
};

struct picture {
    const struct netdef *def;
    struct box *boxes;
    int *box_of_blob; /* a blob: the box that makes it; -1: none */
    struct graph graph;
};

static void picture_release(struct picture *p)
{
    graph_release_bends(&p->graph);
    free(p->boxes);
    free(p->box_of_blob);
    free(p->graph.nodes);
    free(p->graph.edges);
}

/* ---- what a box says ---- */

/* Cut, with dots, so that a box stays narrow. */
static void add_line(struct box *box, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add_line(struct box *box, const char *format, ...)
{
    if (box->n_lines == LINES_MAX)
        return;
    char *line = box->lines[box->n_lines++];
    va_list args;
    va_start(args, format);
    vsnprintf(line, LINE_BYTES, format, args);
    va_end(args);
    if (strlen(line) > LINE_CHARS)
        memcpy(line + LINE_CHARS - 3, "...", 4);
}

static uint32_t side(size_t n, const uint32_t *list, uint32_t one, bool has_one, size_t axis,
                     uint32_t otherwise)
{
    if (has_one)
        return one;
    return n ? list[MIN(axis, n - 1)] : otherwise;
}

static void sliding_text(char *out, size_t size, uint32_t height, uint32_t width, uint32_t stride,
                         uint32_t pad)
{
    int at = snprintf(out, size, "%u x %u", height, width);
    if (stride != 1)
        at += snprintf(out + at, size - (size_t)at, ", stride %u", stride);
    if (pad)
        snprintf(out + at, size - (size_t)at, ", pad %u", pad);
}

/* The settings that tell layers of one type apart; "": none. */
static void settings_text(const Caffe__LayerParameter *l, char out[LINE_BYTES])
{
    *out = '\0';
    if (l->convolution_param) {
        const Caffe__ConvolutionParameter *c = l->convolution_param;
        uint32_t h = side(c->n_kernel_size, c->kernel_size, c->kernel_h, c->has_kernel_h, 0, 1);
        uint32_t w = side(c->n_kernel_size, c->kernel_size, c->kernel_w, c->has_kernel_w, 1, 1);
        sliding_text(out, LINE_BYTES, h, w, side(c->n_stride, c->stride, c->stride_h, c->has_stride_h, 0, 1),
                     side(c->n_pad, c->pad, c->pad_h, c->has_pad_h, 0, 0));
        size_t at = strlen(out);
        if (c->group > 1)
            snprintf(out + at, LINE_BYTES - at, ", %u groups", c->group);
    } else if (l->pooling_param && l->pooling_param->global_pooling) {
        snprintf(out, LINE_BYTES, "global");
    } else if (l->pooling_param) {
        const Caffe__PoolingParameter *p = l->pooling_param;
        sliding_text(out, LINE_BYTES, p->has_kernel_h ? p->kernel_h : p->kernel_size,
                     p->has_kernel_w ? p->kernel_w : p->kernel_size,
                     p->has_stride_h ? p->stride_h : p->stride, p->has_pad_h ? p->pad_h : p->pad);
    } else if (l->dropout_param) {
        snprintf(out, LINE_BYTES, "%g", (double)l->dropout_param->dropout_ratio);
    }
}

static const char *type_text(const Caffe__LayerParameter *l)
{
    if (!l->pooling_param || strcmp(l->type, "Pooling"))
        return l->type;
    return l->pooling_param->pool == CAFFE__POOLING_PARAMETER__POOL_METHOD__AVE ? "Average pooling"
                                                                                : "Max pooling";
}

static void describe(const struct netdef *def, struct box *box)
{
    const struct layer_def *layer = &def->layers[box->layer];
    struct layer_facts facts = layer_facts(def, box->layer);
    char settings[LINE_BYTES], text[SHAPE_TEXT_MAX], a[NUMBER_TEXT_MAX], b[NUMBER_TEXT_MAX];
    settings_text(layer->param, settings);
    box->operations = facts.operations;
    add_line(box, "%s", layer->name);
    add_line(box, "%s%s%s", type_text(layer->param), *settings ? " " : "", settings);
    for (int t = 0; t < layer->n_tops && t < 3; t++)
        add_line(box, "%s", dims_text(&def->blobs[layer->tops[t]].shape, text));
    if (layer->n_tops > 3)
        add_line(box, "and %d more", layer->n_tops - 3);
    if (facts.n_parameters)
        add_line(box, "%s parameters", count_text(facts.n_parameters, a));
    if (facts.top_bytes + facts.parameter_bytes > 0 && facts.operations)
        add_line(box, "%s, %s operations", bytes_text(facts.top_bytes + facts.parameter_bytes, a),
                 count_text(facts.operations, b));
    else if (facts.top_bytes + facts.parameter_bytes > 0)
        add_line(box, "%s", bytes_text(facts.top_bytes + facts.parameter_bytes, a));
}

/* A line in the box of the layer whose top this one overwrites. */
static void describe_in_place(const struct netdef *def, int layer, struct box *box)
{
    const struct layer_def *l = &def->layers[layer];
    box->operations += l->operations;
    box->n_in_place++;
    if (box->n_lines == LINES_MAX) {
        snprintf(box->lines[LINES_MAX - 1], LINE_BYTES, "and more in place");
        return;
    }
    char settings[LINE_BYTES], a[NUMBER_TEXT_MAX];
    settings_text(l->param, settings);
    int64_t n = layer_facts(def, layer).n_parameters;
    add_line(box, "+ %s%s%s%s%s", type_text(l->param), *settings ? " " : "", settings, n ? ", " : "",
             n ? count_text(n, a) : "");
}

/* ---- the graph ---- */

static bool is_split(const struct layer_def *layer)
{
    return !strcmp(layer->type->name, "Split");
}

static bool is_in_place(const struct layer_def *layer)
{
    return layer->n_bottoms >= 1 && layer->n_tops == 1 && layer->bottoms[0] == layer->tops[0];
}

static void add_edge(struct picture *p, int from, int to)
{
    struct graph *g = &p->graph;
    if (from < 0 || from == to)
        return;
    for (int i = 0; i < g->n_edges; i++)
        if (g->edges[i].from == from && g->edges[i].to == to)
            return;
    g->edges = xrealloc(g->edges, ((size_t)g->n_edges + 1) * sizeof(*g->edges));
    g->edges[g->n_edges++] = (struct graph_edge){.from = from, .to = to};
}

static double box_width(const struct box *box)
{
    double width = BOLD_WIDTH * (double)strlen(box->lines[0]);
    for (int i = 1; i < box->n_lines; i++)
        width = MAX(width, TEXT_WIDTH * (double)strlen(box->lines[i]));
    return width + 2 * PADDING;
}

static enum status make_graph(struct picture *p, struct error *err)
{
    const struct netdef *def = p->def;
    int n = 0;
    p->boxes = xcalloc((size_t)def->n_layers + 1, sizeof(*p->boxes));
    p->box_of_blob = xcalloc((size_t)def->n_blobs + 1, sizeof(int));
    for (int i = 0; i < def->n_blobs; i++)
        p->box_of_blob[i] = -1;
    for (int i = 0; i < def->n_layers; i++) {
        const struct layer_def *layer = &def->layers[i];
        int box = layer->n_bottoms ? p->box_of_blob[layer->bottoms[0]] : -1;
        bool joins = box >= 0 && (is_split(layer) || (is_in_place(layer) && layer->n_bottoms == 1));
        if (!joins) {
            if (n == BOXES_MAX)
                return error_set(err, TOO_LARGE, "the net has more than the %d layers that can be drawn",
                                 BOXES_MAX);
            box = n++;
            p->boxes[box].layer = i;
            describe(def, &p->boxes[box]);
            for (int b = 0; b < layer->n_bottoms; b++)
                add_edge(p, p->box_of_blob[layer->bottoms[b]], box);
        } else if (!is_split(layer)) {
            describe_in_place(def, i, &p->boxes[box]);
        }
        for (int t = 0; t < layer->n_tops; t++)
            p->box_of_blob[layer->tops[t]] = box;
    }
    p->graph.n_nodes = n;
    p->graph.nodes = xcalloc((size_t)n + 1, sizeof(*p->graph.nodes));
    for (int i = 0; i < n; i++)
        p->graph.nodes[i] = (struct graph_node){
            .width = box_width(&p->boxes[i]),
            .height = p->boxes[i].n_lines * LINE_HEIGHT + PADDING + BAR_HEIGHT,
        };
    return OK;
}

/* ---- SVG ---- */

/* Fill and line of a box: data, what learns, pooling, losses and their like, the rest. */
static void box_colours(const struct layer_def *layer, const char **ret_fill, const char **ret_line)
{
    const char *type = layer->type->name;
    if (layer->n_bottoms == 0)
        *ret_fill = "#e8eef4", *ret_line = "#5b7894";
    else if (layer->type->is_loss || !strcmp(type, "Accuracy"))
        *ret_fill = "#fbe7e3", *ret_line = "#b6533c";
    else if (layer->n_params)
        *ret_fill = "#e3f1e6", *ret_line = "#3f7f52";
    else if (!strcmp(type, "Pooling"))
        *ret_fill = "#fdf3d8", *ret_line = "#a9822a";
    else
        *ret_fill = "#f3f1f6", *ret_line = "#7a6f91";
}

static void put_box(struct buf *out, const struct picture *p, int index, int64_t most_operations)
{
    const struct box *box = &p->boxes[index];
    const struct graph_node *node = &p->graph.nodes[index];
    const char *fill, *line;
    double left = node->at.x - node->width / 2, top = node->at.y - node->height / 2;
    box_colours(&p->def->layers[box->layer], &fill, &line);
    buf_printf(
        out,
        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"5\" fill=\"%s\" stroke=\"%s\"/>\n",
        left, top, node->width, node->height, fill, line);
    for (int i = 0; i < box->n_lines; i++) {
        bool is_in_place = i >= box->n_lines - box->n_in_place;
        buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\"%s>", node->at.x,
                   top + PADDING / 2 + LINE_HEIGHT * (i + 0.75),
                   i == 0        ? " class=\"n\""
                   : is_in_place ? " class=\"i\""
                                 : "");
        buf_puts_xml(out, box->lines[i]);
        buf_puts(out, "</text>\n");
    }
    double share = most_operations ? (double)box->operations / (double)most_operations : 0;
    if (share > 0.002)
        buf_printf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", left + 5,
                   top + node->height - BAR_HEIGHT - 3, MAX((node->width - 10) * share, 1.0), BAR_HEIGHT,
                   line);
}

/* Straight where it goes down a rank, curved between ranks. */
static void put_edge(struct buf *out, const struct picture *p, const struct graph_edge *e)
{
    const struct graph_node *from = &p->graph.nodes[e->from], *to = &p->graph.nodes[e->to];
    struct point at = {from->at.x, from->at.y + from->height / 2};
    buf_printf(out, "<path d=\"M%.1f %.1f", at.x, at.y);
    for (int i = 0; i <= e->n_bends; i++) {
        struct point next =
            i < e->n_bends ? e->bends[i] : (struct point){to->at.x, to->at.y - to->height / 2 - 5};
        double middle = (at.y + next.y) / 2;
        if (next.y <= at.y)
            continue;
        if (fabs(at.x - next.x) < 0.5)
            buf_printf(out, " L%.1f %.1f", next.x, next.y);
        else
            buf_printf(out, " C%.1f %.1f %.1f %.1f %.1f %.1f", at.x, middle, next.x, middle, next.x, next.y);
        at = next;
    }
    buf_puts(out, "\"/>\n");
}

static void put_title(struct buf *out, const struct netdef *def)
{
    int64_t parameters = 0, operations = 0;
    char a[NUMBER_TEXT_MAX], b[NUMBER_TEXT_MAX], c[NUMBER_TEXT_MAX];
    for (int i = 0; i < def->n_layers; i++) {
        parameters += layer_facts(def, i).n_parameters;
        operations += def->layers[i].operations;
    }
    buf_printf(out, "<text x=\"%d\" y=\"%d\" class=\"t\">", MARGIN, MARGIN);
    buf_puts_xml(out, *def->name ? def->name : "net");
    buf_printf(
        out, "</text>\n<text x=\"%d\" y=\"%d\" class=\"s\">%s parameters, %s, %s operations a pass</text>\n",
        MARGIN, MARGIN + 20, count_text(parameters, a),
        bytes_text(def->parameter_bytes + def->activation_bytes, b), count_text(operations, c));
}

static void put_picture(struct buf *out, const struct picture *p)
{
    int64_t most = 0;
    double width = MAX(p->graph.width, 420.0) + 2 * MARGIN;
    double height = p->graph.height + 2 * MARGIN + TITLE_HEIGHT;
    for (int i = 0; i < p->graph.n_nodes; i++)
        most = MAX(most, p->boxes[i].operations);
    buf_printf(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f "
        "%.0f\">\n"
        "<style>text{font:%dpx 'DejaVu Sans',Verdana,sans-serif;text-anchor:middle;fill:#222}"
        ".n{font-weight:bold}.i{fill:#666}.t,.s{text-anchor:start}.t{font-size:18px;font-weight:bold}"
        "path{fill:none;stroke:#888;stroke-width:1.3;marker-end:url(#a)}</style>\n"
        "<defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"3\" refY=\"4\" markerWidth=\"7\" "
        "markerHeight=\"7\" "
        "orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" style=\"fill:#888;stroke:none;marker-end:none\"/></marker>"
        "</defs>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
        width, height, width, height, FONT);
    put_title(out, p->def);
    buf_printf(out, "<g transform=\"translate(%.1f %d)\">\n", (width - p->graph.width) / 2,
               MARGIN + TITLE_HEIGHT);
    for (int i = 0; i < p->graph.n_edges; i++)
        put_edge(out, p, &p->graph.edges[i]);
    for (int i = 0; i < p->graph.n_nodes; i++)
        put_box(out, p, i, most);
    buf_puts(out, "</g>\n</svg>\n");
}

/* ---- the command ---- */

static void net_parameter_freep(Caffe__NetParameter **p)
{
    if (*p)
        caffe__net_parameter__free_unpacked(*p, NULL);
}

static enum status draw(const char *path, const char *out_path, Caffe__Phase phase,
                        struct input_shapes *inputs, struct error *err)
{
    CLEANUP(net_parameter_freep) Caffe__NetParameter *net = NULL;
    CLEANUP(net_state_release) struct net_state state = {0};
    CLEANUP(freep) struct source_shape *sources = NULL;
    CLEANUP(problems_release) struct problems ignored = {0};
    CLEANUP(netdef_freep) struct netdef *def = NULL;
    TRY(net_read_file(path, &net, err));
    solver_state_of(net, NULL, phase == CAFFE__PHASE__TRAIN ? -1 : 0, &state);
    struct netdef_options options = net_state_options(&state);
    sources_look(net, &options, inputs, &ignored, &sources, &options.n_sources);
    options.sources = sources;
    if (netdef_create(net, &options, &def, err) != OK)
        return error_context(err, "'%s'", path);
    CLEANUP(picture_release) struct picture p = {.def = def};
    TRY(make_graph(&p, err));
    graph_layout(&p.graph, GAP_X, GAP_Y);
    struct buf svg;
    buf_init(&svg, SVG_MAX);
    put_picture(&svg, &p);
    enum status status = svg.overflowed ? error_set(err, TOO_LARGE, "'%s' would be over 64 MiB", out_path)
                                        : file_write(out_path, svg.data, svg.size, 0666, err);
    buf_release(&svg);
    return status;
}

int command_draw_net(int argc, char **argv)
{
    static const char *const name = "draw-net";
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {"input", required_argument, NULL, 'i'},
        {"phase", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    CLEANUP(input_shapes_release) struct input_shapes inputs = {0};
    Caffe__Phase phase = CAFFE__PHASE__TRAIN;
    struct error err;
    optind = 0;
    opterr = 0;
    for (int flag; (flag = getopt_long_only(argc, argv, "", options, NULL)) != -1;) {
        if (flag == 'h')
            return fputs(help, stdout), EXIT_DONE;
        if (flag == '?')
            return command_usage(name, "flag '%s' is not known, or has no value", argv[optind - 1]);
        if (flag == 'i' && input_shapes_add(&inputs, optarg, &err) != OK)
            return command_usage(name, "%s", err.message);
        if (flag == 'p' && strcmp(optarg, "TRAIN") && strcmp(optarg, "TEST"))
            return command_usage(name, "--phase is '%s'; it must be TRAIN or TEST", optarg);
        if (flag == 'p')
            phase = strcmp(optarg, "TEST") ? CAFFE__PHASE__TRAIN : CAFFE__PHASE__TEST;
    }
    if (argc - optind != 2)
        return command_usage(name, "two names are needed: NET OUT.svg");
    return draw(argv[optind], argv[optind + 1], phase, &inputs, &err) == OK ? EXIT_DONE : command_fail(&err);
}
