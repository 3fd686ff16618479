/*
 * moves.c - reordering one's jobs that have not begun, alone or by the array.
 */
#include <string.h>

#include "api/resource.h"

static const struct field move_in[] = {
    {"before", FIELD_STRING, 0, "first, last, or the id of one's job or array in the same pool to precede.",
     .min = 1, .max = 32},
    {"priority", FIELD_INT, 0, "Or: a new priority.", .min = -1000, .max = 1000},
    {NULL},
};

static enum status read_move(const struct request *r, struct response *response, struct job_move *ret_move,
                             struct error *err)
{
    const char *before = json_get_string(r->body, "before", NULL);
    const json_t *priority = json_object_get(r->body, "priority");
    if (!before == !priority)
        return error_set(err, INVALID,
                         "where to? Give 'before' (first, last or the id of a job), or 'priority'");
    if (priority)
        *ret_move = (struct job_move){.where = MOVE_NOT, .priority = (int)json_integer_value(priority)};
    else if (!strcmp(before, "first"))
        *ret_move = (struct job_move){.where = MOVE_FIRST};
    else if (!strcmp(before, "last"))
        *ret_move = (struct job_move){.where = MOVE_LAST};
    else if (id_is_valid(before))
        *ret_move = (struct job_move){.where = MOVE_BEFORE, .before = before};
    else
        return problem_at(response, "/before", err, INVALID,
                          "before: '%.40s' is neither first nor last nor the id of a job", before);
    return OK;
}

static enum status job_move(struct request *r, struct response *response, struct error *err)
{
    const struct resource *resource = resource_of_request(r);
    CLEANUP(document_release) struct document document = {0}, moved = {0};
    struct job_move move;
    TRY(resource_find(r, resource, r->args[0], &document, err));
    TRY(read_move(r, response, &move, err));
    TRY(queue_move(api_store(r->api), r->who.owner, document.id, &move, r->now_ms, &moved, err));
    resource_respond(response, 200, resource, &moved);
    return OK;
}

#define MOVE(collection, what)                                                                               \
    {                                                                                                        \
        "POST", "/" collection "/{id}/move", job_move, SCOPE_USER, BODY_JSON,                                \
            "Move " what " to another place among one's own.", move_in, .success = 200                       \
    }
const struct route move_routes[] = {
    MOVE("training-jobs", "a job that has not begun"),
    MOVE("classify-jobs", "a job that has not begun"),
    MOVE("datafiles", "a job that has not begun"),
    MOVE("datasets", "a job that has not begun"),
    MOVE("jobs", "a job that has not begun"),
    MOVE("orders", "a job that has not begun"),
    MOVE("arrays", "an array's jobs that have not begun, in their order,"),
    {NULL},
};
