/*
 * solvers.c - a solver and its net, checked and rewritten for the folder in
 * which a training job runs.
 */
#include <string.h>

#include "api/resource.h"
#include "api/specification.h"

static const struct field solver_in[] = {
    {"dataset-id", FIELD_ID, REQUIRED, "Data to learn from.", .of = "dataset"},
    {"specification-url", FIELD_URL, 0, "The solver's prototxt.", .max = 4096},
    {"specification-net-url", FIELD_URL, 0, "The net's prototxt.", .max = 4096},
    {"specification", FIELD_STRING, WRITE_ONLY, "The solver's prototxt itself, instead of its URL."},
    {"specification-net", FIELD_STRING, WRITE_ONLY, "The net's prototxt itself, instead of its URL."},
    {NULL},
};

static const struct field solver_out[] = {
    DOCUMENT_ROWS,
    {"dataset-id", FIELD_STRING, READ_ONLY, "Data to learn from."},
    {"specification-url", FIELD_STRING, READ_ONLY, "The solver, as it will run."},
    {"specification-net-url", FIELD_STRING, READ_ONLY, "The net, as it will run."},
    {"LayerType", FIELD_INT, READ_ONLY, "Of the net's data layer: 12 is IMAGE_DATA, 5 is DATA."},
    {"max-iterations", FIELD_INT, READ_ONLY, "The solver's max_iter."},
    {"gpu", FIELD_BOOL, READ_ONLY, "The solver asks for a GPU (solver_mode)."},
    {"memory-bytes", FIELD_INT, READ_ONLY, "What training takes at the very least."},
    {NULL},
};

const struct resource resource_solver = {.type = "solver", .collection = "solvers", .fields = solver_out};

#define IMAGE_SIDE_MAX 65536

/* (channels, height, width) as the split has recorded them; unknown before. */
static struct shape dataset_image(const struct document *dataset)
{
    const json_t *axes = json_object_get(dataset->body, "image-shape");
    struct shape image = {.n_axes = -1};
    if (json_array_size(axes) != 3)
        return image;
    for (size_t i = 0; i < 3; i++) {
        json_int_t dim = json_integer_value(json_array_get(axes, i));
        if (dim < 1 || dim > IMAGE_SIDE_MAX)
            return image;
        image.dim[i] = (int)dim;
    }
    image.n_axes = 3;
    return image;
}

static const char *const solver_files[] = {"specification-url", "specification-net-url", NULL};

/* Both texts, however they came, checked and rewritten. */
static enum status solver_read(const struct request *r, struct response *response,
                               const struct document *dataset, struct specification *ret_made,
                               struct error *err)
{
    CLEANUP(freep) char *solver = NULL;
    CLEANUP(freep) char *net = NULL;
    struct specification_text solver_text = {.name = "specification-url"};
    struct specification_text net_text = {.name = "specification-net-url"};
    TRY(specification_fetch(r, response, solver_text.name, "specification", &solver, &solver_text.size, err));
    TRY(specification_fetch(r, response, net_text.name, "specification-net", &net, &net_text.size, err));
    solver_text.bytes = solver;
    net_text.bytes = net;
    struct shape image = dataset_image(dataset);
    CLEANUP(specification_release) struct specification made = {0};
    TRY(specification_read(&solver_text, &net_text, &image, &made, err));
    const char *layers_type = json_get_string(dataset->body, "layers_type", "");
    if (*layers_type && strcmp(layers_type, layer_type_name(made.layer_type)) != 0)
        return problem_at(response, "/dataset-id", err, INVALID,
                          "dataset-id: the dataset is for %s layers, but the net has %s layers", layers_type,
                          layer_type_name(made.layer_type));
    *ret_made = made;
    made = (struct specification){0};
    return OK;
}

static enum status solver_create(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(document_release) struct document dataset = {0};
    TRY(resource_find_named(r, response, &resource_dataset, "/dataset-id",
                            json_get_string(r->body, "dataset-id", ""), &dataset, err));
    CLEANUP(specification_release) struct specification made = {0};
    TRY(solver_read(r, response, &dataset, &made, err));
    struct store *store = api_store(r->api);
    struct blob solver, net;
    TRY(blob_put(store, made.solver, strlen(made.solver), r->now_ms, &solver, err));
    TRY(blob_put(store, made.net, strlen(made.net), r->now_ms, &net, err));

    char id[ID_MAX];
    id_new(id);
    CLEANUP(freep) char *solver_url = blob_url(id, SOLVER_PROTOTXT);
    CLEANUP(freep) char *net_url = blob_url(id, SOLVER_NET_PROTOTXT);
    CLEANUP(json_decrefp) json_t *body = json_object();
    json_object_set_new(body, "dataset-id", json_string(dataset.id));
    json_object_set_new(body, "specification-url", json_string(solver_url));
    json_object_set_new(body, "specification-net-url", json_string(net_url));
    json_object_set_new(body, "LayerType", json_integer(made.layer_type));
    json_object_set_new(body, "max-iterations", json_integer(made.max_iter));
    json_object_set_new(body, "gpu", json_boolean(made.gpu));
    json_object_set_new(body, "memory-bytes", json_integer(made.memory_bytes));
    const char *refs[] = {dataset.id};
    struct blob_ref blobs[] = {{SOLVER_PROTOTXT, solver.sha256}, {SOLVER_NET_PROTOTXT, net.sha256}};
    struct new_document document = {
        .id = id, .body = body, .refs = refs, .n_refs = 1, .blobs = blobs, .n_blobs = 2};
    return resource_create(r, response, &resource_solver, &document, err);
}

const struct route solver_routes[] = {
    {"POST", "/solvers", solver_create, SCOPE_USER, BODY_DOCUMENT, "Check and keep a solver and its net.",
     solver_in, solver_out, 201, .files = solver_files},
    {"GET", "/solvers", resource_list, SCOPE_USER, BODY_NONE, "List solvers.", NULL, list_fields, 200,
     list_query},
    {"GET", "/solvers/{id}", resource_get, SCOPE_USER, BODY_NONE, "One solver.", NULL, solver_out, 200},
    {"DELETE", "/solvers/{id}", resource_delete, SCOPE_USER, BODY_NONE, "Delete a solver.", NULL, NULL, 204},
    {NULL},
};
