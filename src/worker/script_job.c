/*
 * script_job.c - a job of kind `script`: the bundle is unpacked, the inputs
 * laid beside it, and the program run.
 *
 * spec: {"file", "entry", "parameters", "inputs": [NAME...], "cpu", "memory", "gpu", "network"}
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "worker/archives.h"
#include "worker/kinds.h"
#include "worker/script.h"

static bool is_archive(const char *name)
{
    static const char *const ends[] = {".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip"};
    size_t n = strlen(name);
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
        if (n > strlen(ends[i]) && !strcmp(name + n - strlen(ends[i]), ends[i]))
            return true;
    return false;
}

/* A program's bits to be run are lost in an archive that keeps none: find_program() sets its own. */
static enum status unpack(const struct job *job, struct error *err)
{
    const struct archive_limits limits = {.max_bytes = 16LL << 30, .max_entries = 100000};
    CLEANUP(freep) char *path = path_join(job_folder(job), "script");
    CLEANUP(freep) char *folder = path_join(job_folder(job), SCRIPT_FOLDER);
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(fd_closep) int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || folder_fd < 0)
        return error_set(err, FAILED, "cannot open '%s': %s", fd < 0 ? path : folder, strerror(errno));
    unlink(path);
    CLEANUP(archive_reader_freep) struct archive_reader *reader = NULL;
    TRY(archive_reader_open(fd, "script", &limits, &reader, err));
    for (;;) {
        TRY(job_check(job, err));
        struct archive_item item;
        bool more;
        TRY(archive_reader_next(reader, &item, &more, err));
        if (!more)
            return OK;
        TRY(archive_reader_extract(reader, folder_fd, err));
    }
}

static bool is_there(const struct job *job, const char *name)
{
    struct stat st;
    CLEANUP(freep) char *path = xasprintf("%s/%s/%s", job_folder(job), SCRIPT_FOLDER, name);
    return !stat(path, &st) && S_ISREG(st.st_mode);
}

/* The bundle's file to run. */
static enum status find_entry(const struct job *job, const char **ret_entry, struct error *err)
{
    static const char *const usual[] = {"run", "run.py", "run.sh", "main", "main.py", "main.sh"};
    const char *entry = json_get_string(job_lease(job)->spec, "entry", "");
    for (size_t i = 0; i < ARRAY_SIZE(usual) && !*entry; i++)
        if (is_there(job, usual[i]))
            entry = usual[i];
    if (!*entry)
        return error_set(err, INVALID,
                         "the bundle has none of run, run.py, run.sh, main, main.py, main.sh, and 'entry' "
                         "names no other file");
    *ret_entry = entry;
    return OK;
}

static enum status lay_out(struct job *job, const char **ret_program, struct error *err)
{
    const json_t *spec = job_lease(job)->spec;
    const char *file = json_get_string(spec, "file", "script");
    TRY(script_prepare(job, err));
    if (is_archive(file)) {
        TRY(job_get_input(job, "script", "script", err));
        TRY(unpack(job, err));
        TRY(find_entry(job, ret_program, err));
    } else {
        CLEANUP(freep) char *to = xasprintf("%s/%s", SCRIPT_FOLDER, file);
        TRY(job_get_input(job, "script", to, err));
        *ret_program = file;
    }
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(spec, "inputs"), i, name) {
        CLEANUP(freep) char *to = xasprintf("%s/inputs/%s", SCRIPT_FOLDER, json_string_value(name));
        TRY(job_get_input(job, json_string_value(name), to, err));
    }
    return OK;
}

enum status job_run_script(struct job *job, json_t **ret_result, struct error *err)
{
    const json_t *spec = job_lease(job)->spec;
    struct script script = {
        .parameters = json_object_get(spec, "parameters"),
        .network = json_get_bool(spec, "network", false),
        .gpus = (int)json_get_int(spec, "gpu", 0),
        .cpus = (int)json_get_int(spec, "cpu", 0),
        .memory_bytes = json_get_int(spec, "memory", 0),
    };
    if (!json_is_object(script.parameters))
        return error_set(err, INVALID, "a script job needs 'parameters'");
    TRY(lay_out(job, &script.program, err));
    return script_run(job, &script, ret_result, err);
}
