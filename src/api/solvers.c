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
    {NULL},
};

const struct resource resource_solver = {.type = "solver", .collection = "solvers", .fields = solver_out};

static struct shape dataset_image(const struct document *dataset)
{
    const json_t *axes = json_object_get(dataset->body, "image-shape");
    struct shape image = {.n_axes = -1};
    if (json_array_size(axes) == 3) {
        image.n_axes = 3;
        for (size_t i = 0; i < 3; i++)
            image.dim[i] = (int)json_integer_value(json_array_get(axes, i));
    }
    return image;
}

static const char *const solver_files[] = {"specification-url", "specification-net-url", NULL};

static enum status solver_create(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(document_release) struct document dataset = {0};
    TRY(resource_find_named(r, response, &resource_dataset, "/dataset-id",
                            json_get_string(r->body, "dataset-id", ""), &dataset, err));
    CLEANUP(freep) char *solver = NULL;
    CLEANUP(freep) char *net = NULL;
    struct specification_text solver_text = {.name = "specification-url"};
    struct specification_text net_text = {.name = "specification-net-url"};
    TRY(specification_fetch(r, response, solver_text.name, "specification", &solver, &solver_text.size, err));
    TRY(specification_fetch(r, response, net_text.name, "specification-net", &net, &net_text.size, err));
    solver_text.bytes = solver;
    net_text.bytes = net;
    struct shape image = dataset_image(&dataset);
    CLEANUP(specification_release) struct specification made = {0};
    TRY(specification_read(&solver_text, &net_text, &image, &made, err));

    struct blob solver_blob, net_blob;
    TRY(blob_put(api_store(r->api), made.solver, strlen(made.solver), r->now_ms, &solver_blob, err));
    TRY(blob_put(api_store(r->api), made.net, strlen(made.net), r->now_ms, &net_blob, err));
    char id[ID_MAX];
    id_new(id);
    CLEANUP(freep) char *solver_url = blob_url(id, SOLVER_PROTOTXT);
    CLEANUP(freep) char *net_url = blob_url(id, SOLVER_NET_PROTOTXT);
    CLEANUP(json_decrefp)
    json_t *body = json_pack("{s:s, s:s, s:s, s:i, s:i, s:b}", "dataset-id", dataset.id, "specification-url",
                             solver_url, "specification-net-url", net_url, "LayerType", made.layer_type,
                             "max-iterations", made.max_iter, "gpu", (int)made.gpu);
    const char *refs[] = {dataset.id};
    struct blob_ref blobs[] = {{SOLVER_PROTOTXT, solver_blob.sha256}, {SOLVER_NET_PROTOTXT, net_blob.sha256}};
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
