/*
 * resource.h - what the files of resources share: the kinds of document, how
 * one is found, made and answered.
 *
 * A kind is described once, by one struct resource; lists, GET, DELETE,
 * cancel and the document API are written against that and exist once.
 */
#ifndef ET_RESOURCE_H
#define ET_RESOURCE_H

#include "api/api.h"
#include "api/fields.h"

struct resource {
    const char *type;           /* "training-job" */
    const char *collection;     /* "training-jobs"; NULL: only in the document API */
    const struct field *fields; /* of an answer */
    bool processed;             /* has a processing-state; a job, unless it was made finished */
};
extern const struct resource resource_user, resource_datafile, resource_dataset, resource_solver,
    resource_training_job, resource_classifier, resource_classify_job, resource_job, resource_boss_job,
    resource_order, resource_worker_node;

const struct resource *resource_of_type(const char *type); /* NULL: none */
/* The one whose collection the request's path begins with. */
const struct resource *resource_of_request(const struct request *r);

/* Rows that every document has. */
#define DOCUMENT_ROWS                                                                                        \
    {"_id", FIELD_STRING, READ_ONLY, "Id of the document."}, {"id", FIELD_STRING, READ_ONLY, "The same."},   \
        {"_rev", FIELD_STRING, READ_ONLY, "Revision, for If-Match."},                                        \
        {"type", FIELD_STRING, READ_ONLY, "Kind of document."},                                              \
        {"user-id", FIELD_STRING, READ_ONLY, "Owner."},                                                      \
        {"created", FIELD_STRING, READ_ONLY, "Time of its making, RFC 3339."},                               \
    {                                                                                                        \
        "updated", FIELD_STRING, READ_ONLY, "Time of its last change, RFC 3339."                             \
    }

/* Rows of a document that is worked on. */
#define PROCESSED_ROWS                                                                                       \
    {"processing-state", FIELD_STRING, READ_ONLY, "Where it stands.",                                        \
     .words = "pending|processing|finished_successfully|failed"},                                            \
        {"state", FIELD_STRING, READ_ONLY, "The same, exactly.",                                             \
         .words = "waiting|ready|leased|finished|failed|cancelled"},                                         \
        {"processing-log", FIELD_STRING, READ_ONLY, "Reason of a failure.", .otherwise = "\"\""},            \
    {                                                                                                        \
        "cancelled", FIELD_BOOL, READ_ONLY, "Ended because somebody cancelled it."                           \
    }

/* Answers to GET of a collection and to cancel; the query of the first, the body of the second. */
extern const struct field list_fields[], list_query[], cancel_fields[], cancel_in[];
/* Of logs and metrics. */
extern const struct field log_query[], metrics_out[], metrics_query[];

/* A document as clients see it.  New. */
json_t *resource_encode(const struct resource *resource, const struct document *document);

/* The caller's document of this kind.  Errors: NOT_FOUND. */
enum status resource_find(const struct request *r, const struct resource *resource, const char *id,
                          struct document *ret_document, struct error *err);

/* The same for an id in the body, at pointer: an unknown one is the body's fault.  Errors: INVALID. */
enum status resource_find_named(const struct request *r, struct response *response,
                                const struct resource *resource, const char *pointer, const char *id,
                                struct document *ret_document, struct error *err);

/* Says that the error at hand is about the body's field at pointer ("/url").  Returns its status. */
enum status problem_of_field(struct response *response, const char *pointer, struct error *err);

/*
 * Makes one document of this kind and answers 201 with it.  Its refs, blobs
 * and job are in `document`; type is filled in here.
 */
enum status resource_create(struct request *r, struct response *response, const struct resource *resource,
                            struct new_document *document, struct error *err);

/* 200, or another status, with the document and its ETag. */
void resource_respond(struct response *response, int status, const struct resource *resource,
                      const struct document *document);

/*
 * An input of a job: the blob that a document has under `blob`, given to the
 * worker as `name`.  Optional ones are given all or none.  New.
 */
json_t *job_input(const char *name, const char *document, const char *blob, bool optional);

/* Handlers for every kind. */
enum status resource_get(struct request *r, struct response *response, struct error *err);
enum status resource_list(struct request *r, struct response *response, struct error *err);
enum status resource_delete(struct request *r, struct response *response, struct error *err);
enum status resource_cancel(struct request *r, struct response *response, struct error *err);
enum status resource_logs(struct request *r, struct response *response, struct error *err);
enum status resource_metrics(struct request *r, struct response *response, struct error *err);

/* {"loss": {"step": 100, "value": 0.25}, ...}: the latest point of each metric.  New. */
enum status latest_metrics_json(struct store *store, const char *job, json_t **ret_metrics,
                                struct error *err);

/* Has the caller's job ended, or is it gone?  False also when the store does not say. */
bool job_is_over(const struct request *r, const char *id);

/* A number, or "NaN", "Infinity", "-Infinity".  New. */
json_t *number_or_word(double value);

/* "cbfs://ID/NAME", for the caller to free. */
char *blob_url(const char *id, const char *name);

/* The user whom the path's first argument names: the caller, or for the operator anybody.  Errors: NOT_FOUND.
 */
enum status user_of_path(const struct request *r, char ret_owner[OWNER_MAX], struct error *err);

/* A whole number in the query.  Errors: INVALID outside [min, max]; absent: otherwise. */
enum status query_int(const struct request *r, const char *name, int64_t min, int64_t max, int64_t otherwise,
                      int64_t *ret_value, struct error *err);

/* true (or 1) or false (or 0) in the query.  Errors: INVALID for anything else; absent: false. */
enum status query_bool(const struct request *r, const char *name, bool *ret_value, struct error *err);

/*
 * Is this a URL that the service may fetch?  http or https with a host; and
 * unless private ones are allowed, no literal address that is not public.
 * Errors: INVALID.
 */
enum status url_check(const char *url, bool allow_private, struct error *err);
/* Last element of a URL's path as a blob's name: 1 to 100 of [A-Za-z0-9._-]; "data" when there is none. */
char *url_file_name(const char *url);
/* The same of any file name. */
char *blob_name_from(const char *file_name);

/*
 * The text of a prototxt, however it came: a file part named `url_field`, a
 * string in the body named `inline_field`, or fetched from the URL in
 * `url_field`.  Lends nothing: *ret_bytes is the caller's.
 * Errors: INVALID, naming the field and why.
 */
enum status specification_fetch(const struct request *r, struct response *response, const char *url_field,
                                const char *inline_field, char **ret_bytes, size_t *ret_size,
                                struct error *err);

/* Is there such a classifier of the owner's?  Errors: NOT_FOUND. */
enum status classifier_check(struct store *store, const char *owner, const char *id, struct error *err);
/*
 * Queues a classify job for one picture whose bytes are a blob already; its
 * label will be in the job's results under picture->sha1.  Errors: NOT_FOUND.
 */
enum status classify_picture(struct store *store, const char *owner, const char *classifier_id,
                             const struct upload *picture, int64_t now_ms, char ret_job[ID_MAX],
                             struct error *err);

extern const struct route datafile_routes[], dataset_routes[], solver_routes[], training_job_routes[],
    classifier_routes[], classify_job_routes[], document_routes[], change_routes[], event_routes[],
    job_routes[], worker_routes[], lease_routes[], array_routes[], move_routes[], limit_routes[],
    schedule_routes[], why_routes[];

#endif
