/*
 * artifacts.h - what a script leaves in its artifacts folder becomes blobs of
 * its job.
 */
#ifndef ET_ARTIFACTS_H
#define ET_ARTIFACTS_H

#include "worker/job.h"

#define ARTIFACTS_MAX 1000

/* 1 to 100 of [A-Za-z0-9._+=-], no dot first, and no name that a job has for itself. */
bool artifact_name_is_valid(const char *name);

/*
 * Uploads each file of the folder (below the job's folder) under its name,
 * and each folder in it as NAME.tar.gz.  Links, devices and other names are
 * passed over, with a line in the log.  The folder's writers must be gone.
 * *ret_names: an array, owned by the caller.  Errors: as job_put_blob's.
 */
enum status artifacts_put(struct job *job, const char *folder, json_t **ret_names, struct error *err);

#endif
