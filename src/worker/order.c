/*
 * order.c - a Boss's Order: a script of the operator's, run with its Job as
 * the one argument.
 *
 * spec: {"order": ID, "job": {"scriptName", ...}}.  The files that lie in the
 * operator's folder are copied beside the script, so that it finds its data
 * and its modules.  What it prints last, a JSON object on one line, is the
 * Outcome.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "worker/kinds.h"
#include "worker/script.h"

#define FILES_MAX    1000
#define FILES_BYTES  (1LL << 30)
#define ARGUMENT_MAX 100000 /* the kernel takes 128 KiB as one argument */
#define PIECE        (256 * 1024)

static bool is_plain_name(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/') && !strchr(name, '\\') && !strstr(name, "..");
}

/* ---- the operator's folder ---- */

static enum status copy_bytes(struct job *job, int from, int to, const char *name, struct error *err)
{
    CLEANUP(freep) char *piece = xmalloc(PIECE);
    for (;;) {
        TRY(job_check(job, err));
        ssize_t n = read(from, piece, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || (n > 0 && fd_write_all(to, piece, (size_t)n)))
            return error_set(err, status_from_errno(errno), "cannot copy the operator's '%s': %s", name,
                             strerror(errno));
        if (!n)
            return OK;
    }
}

/* One file of the folder; links and folders are left out. */
static enum status copy_file(struct job *job, int folder_fd, const char *name, int64_t *left,
                             struct error *err)
{
    CLEANUP(fd_closep) int from = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    if (from < 0 || fstat(from, &st) || !S_ISREG(st.st_mode))
        return OK;
    *left -= st.st_size;
    if (*left < 0)
        return error_set(err, INVALID, "the files in the operator's folder of scripts are over %lld bytes",
                         (long long)FILES_BYTES);
    CLEANUP(freep) char *path = xasprintf("%s/%s/%s", job_folder(job), SCRIPT_FOLDER, name);
    CLEANUP(fd_closep) int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (to < 0)
        return error_set(err, status_from_errno(errno), "cannot create '%s': %s", name, strerror(errno));
    return copy_bytes(job, from, to, name, err);
}

static void dir_closep(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

static enum status copy_folder(struct job *job, struct error *err)
{
    const char *folder = job_host(job)->scripts.folder;
    CLEANUP(dir_closep) DIR *dir = opendir(folder);
    if (!dir)
        return error_set(err, FAILED, "cannot read the operator's folder of scripts '%s': %s", folder,
                         strerror(errno));
    int64_t left = FILES_BYTES;
    int n = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        if (++n > FILES_MAX)
            return error_set(err, INVALID, "the operator's folder of scripts has more than %d files",
                             FILES_MAX);
        TRY(copy_file(job, dirfd(dir), e->d_name, &left, err));
    }
    return OK;
}

/* ---- the script ---- */

static enum status read_job(struct job *job, json_t **ret_parameters, const char **ret_name,
                            struct error *err)
{
    const json_t *wanted = json_object_get(job_lease(job)->spec, "job");
    const char *name = json_get_string(wanted, "scriptName", NULL);
    if (!job_host(job)->scripts.folder)
        return error_set(err, INVALID, "this worker has no folder of scripts: start it with --scripts");
    if (!name)
        return error_set(err, INVALID, "the Job names no script: 'scriptName' is missing");
    if (!is_plain_name(name))
        return error_set(err, INVALID, "scriptName '%.64s' is not the plain name of a file", name);
    CLEANUP(json_decrefp) json_t *parameters = json_copy((json_t *)(uintptr_t)wanted);
    json_object_set_new(parameters, "callbackAddress", json_string(job_host(job)->server_url));
    json_object_set_new(parameters, "assignmentId", json_string(job_lease(job)->job));
    CLEANUP(freep) char *text = json_text(parameters);
    if (strlen(text) > ARGUMENT_MAX)
        return error_set(err, INVALID, "the Job is %zu bytes of JSON: a script's argument has at most %d",
                         strlen(text), ARGUMENT_MAX);
    *ret_name = name;
    *ret_parameters = TAKE(parameters);
    return OK;
}

/* A script that ends well may still say that it failed: {"status": 400, "error": ...}. */
static enum status outcome_verdict(const json_t *result, struct error *err)
{
    const json_t *outcome = json_object_get(result, "result");
    const json_t *error = json_object_get(outcome, "error");
    if (!json_is_object(outcome))
        return error_set(err, INVALID, "the last line that the script printed is no JSON object");
    if (json_is_string(error))
        return error_set(err, FAILED, "the script says: %.500s", json_string_value(error));
    if (error && !json_is_null(error))
        return error_set(err, FAILED, "the script says that it failed");
    double status = json_number_value(json_object_get(outcome, "status"));
    if (status >= 400)
        return error_set(err, FAILED, "the script says status %g", status);
    return OK;
}

enum status job_run_order(struct job *job, json_t **ret_result, struct error *err)
{
    CLEANUP(json_decrefp) json_t *parameters = NULL;
    struct script script = {.is_order = true};
    TRY(read_job(job, &parameters, &script.program, err));
    script.parameters = parameters;
    TRY(script_prepare(job, err));
    TRY(copy_folder(job, err));
    TRY(script_run(job, &script, ret_result, err));
    return outcome_verdict(*ret_result, err);
}
