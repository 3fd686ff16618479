/*
 * template.h - a document with a job, written down to be made many times:
 * by arrays and by schedules.
 *
 * The text begins with the template's own id (32 hex digits); wherever that
 * stands in what follows, or in a patch, the id of the document that is made takes its place.
 */
#ifndef ET_TEMPLATE_H
#define ET_TEMPLATE_H

#include "store/documents.h"

/* For the caller to free.  d->id is the template's own. */
char *template_text(const struct new_document *d);

struct instance {
    char id[ID_MAX];
    struct new_document document; /* with all that it points to below */
    struct new_job job;
    json_t *json;
    const char **strings;
    struct blob_ref *blobs;
};
/* patch: {"body": merge patch, "spec": merge patch}, or NULL.  Errors: FAILED when the text is damaged. */
enum status template_instance(const char *text, const json_t *patch, struct instance *ret_instance,
                              struct error *err);
void instance_release(struct instance *i);

#endif
