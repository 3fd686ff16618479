#include "api/specification.h"

#include <stdlib.h>
#include <string.h>

#include "netdef/memory_bound.h"

#define TEXT_MAX (8u << 20) /* of a rewritten prototxt */

const char *layer_type_name(int layer_type)
{
    return layer_type == LAYER_TYPE_DATA ? "DATA" : layer_type == LAYER_TYPE_IMAGE_DATA ? "IMAGE_DATA" : "";
}

void specification_release(struct specification *s)
{
    free(s->solver);
    free(s->net);
    *s = (struct specification){0};
}

static void net_freep(Caffe__NetParameter **net)
{
    if (*net)
        caffe__net_parameter__free_unpacked(*net, NULL);
}

static void solver_freep(Caffe__SolverParameter **solver)
{
    if (*solver)
        caffe__solver_parameter__free_unpacked(*solver, NULL);
}

/* ---- messages, by their descriptors ---- */

/* Sets a string field by its name; NULL clears it. */
static void message_set_string(ProtobufCMessage *message, const char *field_name, const char *value)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, field_name);
    char **member = (char **)((char *)message + field->offset);
    if (*member != field->default_value)
        free(*member);
    *member = value ? xstrdup(value) : (char *)field->default_value;
}

static bool path_stays_inside(const char *path)
{
    if (path[0] == '/')
        return false;
    for (const char *p = path; p; p = strchr(p, '/')) {
        p += *p == '/';
        if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || !p[2]))
            return false;
    }
    return true;
}

static bool field_is_path(const char *name)
{
    static const char *const paths[] = {"file_name", "mean_file", "root_folder", "source"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        if (!strcmp(name, paths[i]))
            return true;
    return false;
}

/* Every path below the message must lead to a place inside the job's folder. */
static enum status message_check_paths(const ProtobufCMessage *message, struct error *err)
{
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        const void *member = (const char *)message + field->offset;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t n = *(const size_t *)((const char *)message + field->quantifier_offset);
            if (field->type != PROTOBUF_C_TYPE_MESSAGE)
                continue;
            for (size_t k = 0; k < n; k++)
                TRY(message_check_paths((*(ProtobufCMessage *const *const *)member)[k], err));
        } else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
            const ProtobufCMessage *inner = *(ProtobufCMessage *const *)member;
            if (inner)
                TRY(message_check_paths(inner, err));
        } else if (field->type == PROTOBUF_C_TYPE_STRING && field_is_path(field->name)) {
            const char *path = *(char *const *)member;
            if (path && !path_stays_inside(path))
                return error_set(err, INVALID, "%s '%s' leads out of the job's folder", field->name, path);
        }
    }
    return OK;
}

static char *message_text(const ProtobufCMessage *message)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    message_print_text(message, &text);
    if (text.overflowed) {
        buf_release(&text);
        return NULL;
    }
    char *taken = buf_take(&text, NULL);
    buf_release(&text);
    return taken;
}

/* ---- data layers ---- */

struct data_kind {
    const char *type;
    int layer_type;
    const char *training, *test; /* source */
};
static const struct data_kind data_kinds[] = {
    {"Data", LAYER_TYPE_DATA, "training-data", "test-data"},
    {"ImageData", LAYER_TYPE_IMAGE_DATA, "training.txt", "testing.txt"},
};

static const struct data_kind *data_kind_of(const Caffe__LayerParameter *layer)
{
    for (size_t i = 0; i < ARRAY_SIZE(data_kinds); i++)
        if (layer->type && !strcmp(layer->type, data_kinds[i].type))
            return &data_kinds[i];
    return NULL;
}

static bool rule_is_phase_only(const Caffe__NetStateRule *rule)
{
    return !rule->has_min_level && !rule->has_max_level && !rule->n_stage && !rule->n_not_stage;
}

/* Can the layer run in this phase, whatever level and stages are? */
static bool layer_runs_in(const Caffe__LayerParameter *layer, Caffe__Phase phase)
{
    for (size_t i = 0; i < layer->n_include; i++)
        if (!layer->include[i]->has_phase || layer->include[i]->phase == phase)
            return true;
    if (layer->n_include)
        return false;
    for (size_t i = 0; i < layer->n_exclude; i++) {
        const Caffe__NetStateRule *rule = layer->exclude[i];
        if (rule_is_phase_only(rule) && (!rule->has_phase || rule->phase == phase))
            return false;
    }
    return true;
}

static Caffe__NetStateRule *phase_rule_new(Caffe__Phase phase)
{
    Caffe__NetStateRule *rule = xmalloc(sizeof *rule);
    caffe__net_state_rule__init(rule);
    rule->has_phase = true;
    rule->phase = phase;
    return rule;
}

/* Makes a layer that runs in both phases run in this one only. */
static void layer_restrict(Caffe__LayerParameter *layer, Caffe__Phase phase)
{
    if (layer->n_exclude && !layer->n_include) {
        layer->exclude = xrealloc(layer->exclude, (layer->n_exclude + 1) * sizeof *layer->exclude);
        layer->exclude[layer->n_exclude++] =
            phase_rule_new(phase == CAFFE__PHASE__TRAIN ? CAFFE__PHASE__TEST : CAFFE__PHASE__TRAIN);
        return;
    }
    if (!layer->n_include) {
        layer->include = xmalloc(sizeof *layer->include);
        layer->include[layer->n_include++] = phase_rule_new(phase);
        return;
    }
    size_t n = 0;
    for (size_t i = 0; i < layer->n_include; i++) {
        Caffe__NetStateRule *rule = layer->include[i];
        if (rule->has_phase && rule->phase != phase) {
            caffe__net_state_rule__free_unpacked(rule, NULL);
            continue;
        }
        rule->has_phase = true;
        rule->phase = phase;
        layer->include[n++] = rule;
    }
    layer->n_include = n;
}

static Caffe__LayerParameter *layer_dup(const Caffe__LayerParameter *layer)
{
    size_t size = caffe__layer_parameter__get_packed_size(layer);
    CLEANUP(freep) uint8_t *bytes = xmalloc(size ? size : 1);
    caffe__layer_parameter__pack(layer, bytes);
    return caffe__layer_parameter__unpack(NULL, size, bytes);
}

/* Each data layer of both phases becomes two, one after the other. */
static void net_split_data_layers(Caffe__NetParameter *net)
{
    Caffe__LayerParameter **layers = xmalloc((2 * net->n_layer + 1) * sizeof *layers);
    size_t n = 0;
    for (size_t i = 0; i < net->n_layer; i++) {
        Caffe__LayerParameter *layer = net->layer[i];
        if (data_kind_of(layer) && layer_runs_in(layer, CAFFE__PHASE__TRAIN) &&
            layer_runs_in(layer, CAFFE__PHASE__TEST)) {
            Caffe__LayerParameter *test = layer_dup(layer);
            layer_restrict(layer, CAFFE__PHASE__TRAIN);
            layer_restrict(test, CAFFE__PHASE__TEST);
            layers[n++] = layer;
            layers[n++] = test;
        } else {
            layers[n++] = layer;
        }
    }
    free(net->layer);
    net->layer = layers;
    net->n_layer = n;
}

static void layer_set_source(Caffe__LayerParameter *layer, const struct data_kind *kind)
{
    const char *source = layer_runs_in(layer, CAFFE__PHASE__TRAIN) ? kind->training : kind->test;
    if (kind->layer_type == LAYER_TYPE_DATA) {
        if (!layer->data_param) {
            layer->data_param = xmalloc(sizeof *layer->data_param);
            caffe__data_parameter__init(layer->data_param);
        }
        message_set_string(&layer->data_param->base, "source", source);
    } else {
        if (!layer->image_data_param) {
            layer->image_data_param = xmalloc(sizeof *layer->image_data_param);
            caffe__image_data_parameter__init(layer->image_data_param);
        }
        message_set_string(&layer->image_data_param->base, "source", source);
        message_set_string(&layer->image_data_param->base, "root_folder", NULL);
    }
}

static enum status net_rewrite(Caffe__NetParameter *net, int *ret_layer_type, struct error *err)
{
    static const char *const unfed[] = {"HDF5Data", "WindowData", "MemoryData"};
    net_split_data_layers(net);
    int layer_type = 0;
    bool trains = false;
    for (size_t i = 0; i < net->n_layer; i++) {
        Caffe__LayerParameter *layer = net->layer[i];
        const struct data_kind *kind = data_kind_of(layer);
        for (size_t k = 0; k < ARRAY_SIZE(unfed); k++)
            if (layer->type && !strcmp(layer->type, unfed[k]))
                return error_set(err, INVALID,
                                 "layer '%s': a dataset feeds ImageData and Data layers, not %s", layer->name,
                                 unfed[k]);
        if (!kind)
            continue;
        if (layer_type && kind->layer_type != layer_type)
            return error_set(err, INVALID, "layer '%s': a net has either ImageData or Data layers, not both",
                             layer->name);
        layer_type = kind->layer_type;
        trains |= layer_runs_in(layer, CAFFE__PHASE__TRAIN);
        layer_set_source(layer, kind);
    }
    if (!trains)
        return error_set(err, INVALID,
                         "no ImageData or Data layer in phase TRAIN: nothing would be learnt from "
                         "the dataset");
    TRY(message_check_paths(&net->base, err));
    *ret_layer_type = layer_type;
    return OK;
}

/* ---- the solver ---- */

static enum status solver_rewrite(Caffe__SolverParameter *solver, struct error *err)
{
    static const char *const policies[] = {"exp", "fixed", "inv", "multistep", "poly", "sigmoid", "step"};
    bool known = false;
    for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
        known |= solver->lr_policy && !strcmp(solver->lr_policy, policies[i]);
    if (!known)
        return error_set(err, INVALID,
                         "lr_policy '%s' is none of exp, fixed, inv, multistep, poly, sigmoid, step",
                         solver->lr_policy ? solver->lr_policy : "");
    if (!solver->has_max_iter || solver->max_iter < 1)
        return error_set(err, INVALID, "max_iter must be at least 1");
    for (size_t i = 0; i < solver->n_test_iter; i++)
        if (solver->test_iter[i] < 1)
            return error_set(err, INVALID, "test_iter must be at least 1, not %d", (int)solver->test_iter[i]);
    if (solver->n_test_iter && (!solver->has_test_interval || solver->test_interval < 1))
        return error_set(err, INVALID, "test_iter needs a test_interval of at least 1");

    message_set_string(&solver->base, "net", SOLVER_NET_PROTOTXT);
    message_set_string(&solver->base, "snapshot_prefix", "snapshot");
    message_set_string(&solver->base, "train_net", NULL);
    if (solver->net_param)
        caffe__net_parameter__free_unpacked(solver->net_param, NULL);
    if (solver->train_net_param)
        caffe__net_parameter__free_unpacked(solver->train_net_param, NULL);
    solver->net_param = solver->train_net_param = NULL;
    for (size_t i = 0; i < solver->n_test_net_param; i++)
        caffe__net_parameter__free_unpacked(solver->test_net_param[i], NULL);
    solver->n_test_net_param = 0;
    for (size_t i = 0; i < solver->n_test_net; i++)
        free(solver->test_net[i]);
    solver->n_test_net = 0;
    for (size_t i = 0; i < solver->n_weights; i++)
        free(solver->weights[i]);
    solver->n_weights = 0;
    solver->has_snapshot_after_train = solver->has_snapshot_format = false;
    solver->snapshot_after_train = true;
    solver->snapshot_format = CAFFE__SOLVER_PARAMETER__SNAPSHOT_FORMAT__BINARYPROTO;
    return OK;
}

/* What a rewritten solver has from the service, or belongs to the net. */
static enum status check_variable(const char *name, struct error *err)
{
    static const char *const fixed[] = {
        "net",         "net_param",       "train_net",       "train_net_param",
        "test_net",    "test_net_param",  "train_state",     "test_state",
        "weights",     "snapshot_prefix", "snapshot_format", "snapshot_after_train",
        "solver_mode", "device_id",
    };
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        if (!strcmp(name, fixed[i]))
            return error_set(err, INVALID, "'%s' is the same for all elements of an array", name);
    return OK;
}

enum status specification_vary(const struct specification_text *text, const json_t *values, int *ret_max_iter,
                               struct error *err)
{
    CLEANUP(solver_freep) Caffe__SolverParameter *solver = NULL;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)values, name, value)
        TRY(check_variable(name, err));
    TRY(solver_read_text(text->bytes, text->size, text->name, &solver, err));
    TRY(solver_vary(solver, values, err));
    TRY(solver_rewrite(solver, err));
    *ret_max_iter = solver->max_iter;
    return OK;
}

/* ---- shapes ---- */

/* What an ImageData or Data layer will deliver; stays unknown where the image matters and is not known. */
static void source_shape_of(const Caffe__LayerParameter *layer, const struct shape *image,
                            struct source_shape *ret_source)
{
    const Caffe__ImageDataParameter *pictures = layer->image_data_param;
    bool is_pictures = data_kind_of(layer)->layer_type == LAYER_TYPE_IMAGE_DATA;
    int batch = is_pictures ? (int)pictures->batch_size : (int)layer->data_param->batch_size;
    struct shape data = {.n_axes = 4, .dim = {batch}};
    bool known = shape_is_known(image) && image->n_axes == 3;
    for (int i = 0; known && i < 3; i++)
        data.dim[i + 1] = image->dim[i];
    if (is_pictures) {
        data.dim[1] = pictures->is_color ? 3 : 1;
        if (pictures->new_height > 0 && pictures->new_width > 0) {
            data.dim[2] = (int)pictures->new_height;
            data.dim[3] = (int)pictures->new_width;
            known = true;
        }
    }
    int crop = layer->transform_param ? (int)layer->transform_param->crop_size : 0;
    if (crop > 0) {
        data.dim[2] = data.dim[3] = crop;
        known |= is_pictures;
    }
    if (!known)
        data = (struct shape){.n_axes = -1};
    *ret_source = (struct source_shape){
        .layer = layer->name,
        .n_tops = (int)MIN(layer->n_top, 2u),
        .tops = {data, {.n_axes = 1, .dim = {batch}}},
    };
}

/* Values that the solver keeps for each parameter. */
static int n_histories(const Caffe__SolverParameter *solver)
{
    const char *type = solver->type ? solver->type : "";
    return !strcmp(type, "Adam") || !strcmp(type, "AdaDelta") ? 2 : 1;
}

/* ret_def may be NULL. */
static enum status net_check(const Caffe__NetParameter *net, Caffe__Phase phase, const Caffe__NetState *state,
                             const struct shape *image, struct netdef **ret_def, struct error *err)
{
    CLEANUP(freep) struct source_shape *sources = xcalloc(net->n_layer, sizeof *sources);
    int n = 0;
    for (size_t i = 0; i < net->n_layer; i++)
        if (data_kind_of(net->layer[i]) && layer_runs_in(net->layer[i], phase))
            source_shape_of(net->layer[i], image, &sources[n++]);
    struct netdef_options options = {
        .phase = phase,
        .level = state ? state->level : 0,
        .n_stages = state ? (int)state->n_stage : 0,
        .stages = state ? (const char *const *)state->stage : NULL,
        .n_sources = n,
        .sources = sources,
    };
    CLEANUP(netdef_freep) struct netdef *def = NULL;
    if (netdef_create(net, &options, &def, err) != OK)
        return error_context(err, "phase %s", phase == CAFFE__PHASE__TRAIN ? "TRAIN" : "TEST");
    if (ret_def)
        *ret_def = TAKE(def);
    return OK;
}

enum status specification_read(const struct specification_text *solver_text,
                               const struct specification_text *net_text, const struct shape *image,
                               struct specification *ret_specification, struct error *err)
{
    CLEANUP(solver_freep) Caffe__SolverParameter *solver = NULL;
    CLEANUP(net_freep) Caffe__NetParameter *net = NULL;
    TRY(solver_read_text(solver_text->bytes, solver_text->size, solver_text->name, &solver, err));
    TRY(net_read_text(net_text->bytes, net_text->size, net_text->name, &net, err));
    if (solver_rewrite(solver, err) != OK)
        return error_context(err, "%s", solver_text->name);
    int layer_type = 0;
    if (net_rewrite(net, &layer_type, err) != OK)
        return error_context(err, "%s", net_text->name);

    CLEANUP(netdef_freep) struct netdef *train = NULL;
    enum status checked = net_check(net, CAFFE__PHASE__TRAIN, solver->train_state, image, &train, err);
    for (size_t i = 0; checked == OK && i < solver->n_test_iter; i++)
        checked = net_check(net, CAFFE__PHASE__TEST, i < solver->n_test_state ? solver->test_state[i] : NULL,
                            image, NULL, err);
    if (checked != OK)
        return error_context(err, "%s", net_text->name);

    struct specification made = {
        .solver = message_text(&solver->base),
        .net = message_text(&net->base),
        .layer_type = layer_type,
        .max_iter = solver->max_iter,
        .gpu = solver->has_solver_mode && solver->solver_mode == CAFFE__SOLVER_PARAMETER__SOLVER_MODE__GPU,
        .memory_bytes = netdef_training_bytes_at_least(train, n_histories(solver)),
    };
    if (!made.solver || !made.net) {
        specification_release(&made);
        return error_set(err, TOO_LARGE, "%s: over %u MiB when written out", net_text->name, TEXT_MAX >> 20);
    }
    *ret_specification = made;
    return OK;
}

/* ---- classifiers ---- */

static enum status classifier_check_input(const struct netdef *def,
                                          const struct classifier_specification *classifier,
                                          struct error *err)
{
    const struct layer_def *input = NULL;
    for (int i = 0; i < def->n_layers; i++) {
        const struct layer_def *layer = &def->layers[i];
        if (layer->n_bottoms || !layer->n_tops)
            continue;
        /* The second top of MemoryData, the labels, stays empty. */
        bool in_memory = strcmp(layer->type->name, "MemoryData") == 0;
        if (!in_memory && strcmp(layer->type->name, "Input") != 0)
            return error_set(err, INVALID,
                             "layer '%s': a classifier's net takes its images from an Input or a MemoryData "
                             "layer, not from %s",
                             layer->name, layer->type->name);
        if (input || (!in_memory && layer->n_tops != 1))
            return error_set(err, INVALID, "layer '%s': a classifier's net has one input", layer->name);
        input = layer;
    }
    if (!input)
        return error_set(err, INVALID, "the net has no input: write an Input layer, or input and input_dim");
    if (def->n_outputs < 1)
        return error_set(err, INVALID, "the net has no output");
    const struct blob_def *blob = &def->blobs[input->tops[0]];
    char text[SHAPE_TEXT_MAX];
    shape_text(&blob->shape, text);
    int channels = classifier->color ? 3 : 1;
    if (blob->shape.n_axes != 4)
        return error_set(err, INVALID,
                         "input '%s' has shape %s; images need four axes: number, channels, height, "
                         "width",
                         blob->name, text);
    if (blob->shape.dim[1] != channels)
        return error_set(err, INVALID,
                         "input '%s' has %d channels in its shape %s, but color is %s, which gives "
                         "%d",
                         blob->name, blob->shape.dim[1], text, classifier->color ? "true" : "false",
                         channels);
    if (blob->shape.dim[2] != classifier->height || blob->shape.dim[3] != classifier->width)
        return error_set(err, INVALID,
                         "input '%s' takes images of width %d and height %d (shape %s), but "
                         "image-width is %d and image-height is %d",
                         blob->name, blob->shape.dim[3], blob->shape.dim[2], text, classifier->width,
                         classifier->height);
    return OK;
}

enum status classifier_specification_check(const struct specification_text *text,
                                           const struct classifier_specification *classifier,
                                           struct error *err)
{
    CLEANUP(net_freep) Caffe__NetParameter *net = NULL;
    CLEANUP(netdef_freep) struct netdef *def = NULL;
    TRY(net_read_text(text->bytes, text->size, text->name, &net, err));
    struct netdef_options options = {.phase = CAFFE__PHASE__TEST};
    if (netdef_create(net, &options, &def, err) != OK || classifier_check_input(def, classifier, err) != OK ||
        message_check_paths(&net->base, err) != OK)
        return error_context(err, "%s", text->name);
    return OK;
}
