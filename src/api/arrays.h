/* arrays.h - many jobs by one request, each with its own parameters. */
#ifndef ET_ARRAYS_API_H
#define ET_ARRAYS_API_H

#include "api/job_options.h"

#define ARRAY_ELEMENTS_MAX 50000
#define ARRAY_BODY_MAX     (16 << 20) /* JSON of a request that may make one */

extern const struct field parameter_set_rows[];

/* Row of a request that may make an array instead of one job. */
#define ARRAY_ROW                                                                                            \
    {                                                                                                        \
        "array", FIELD_ARRAY, 0, "Make an array: a job for each of these parameter sets.",                   \
            .min = 1, .max = ARRAY_ELEMENTS_MAX, .fields = parameter_set_rows                                \
    }

/* Answers 201 with the array, whose elements are made of the plan.  Errors: INVALID at /array/N. */
enum status array_create_request(struct request *r, struct response *response, const struct job_maker *maker,
                                 struct job_plan *plan, const json_t *elements, struct error *err);

/* Handler: a page of the documents of an array or a schedule. */
enum status members_get(struct request *r, struct response *response, struct error *err);
extern const struct field members_query[];

/* Handler: what came of each element, short enough for all on one page. */
enum status array_results_get(struct request *r, struct response *response, struct error *err);
extern const struct field array_results_fields[], array_results_query[];

extern const struct resource resource_array, resource_schedule;

#endif
