/*
 * routes.c - the one list of all that the API answers.
 */
#include "api/resource.h"
#include "api/server.h"

const struct route *const route_tables[] = {
    user_routes,         token_routes,      datafile_routes,     dataset_routes,  solver_routes,
    training_job_routes, classifier_routes, classify_job_routes, job_routes,      blob_routes,
    document_routes,     change_routes,     event_routes,        worker_routes,   lease_routes,
    array_routes,        move_routes,       limit_routes,        schedule_routes, why_routes,
    usage_routes,        webhook_routes,    health_routes,       docs_routes,     NULL,
};
