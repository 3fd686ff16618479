#include "worker/script.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/process.h"
#include "worker/artifacts.h"
#include "worker/child.h"
#include "worker/sandbox.h"
#include "worker/script_output.h"

#define PROCESSES 512
#define DISK      (8LL << 30)
#define LOG       (64LL << 20)

#define REASON_MAX     400
#define RESULT_WRAPPER "[[[[[[[[[["

struct run {
    struct job *job;
    struct sandbox sandbox;
    struct script_output output;
};

enum status script_prepare(struct job *job, struct error *err)
{
    static const char *const folders[] = {SCRIPT_FOLDER "/inputs", SCRIPT_ARTIFACTS, "box/tmp", "box/shm"};
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        CLEANUP(freep) char *path = path_join(job_folder(job), folders[i]);
        TRY(dir_make(path, err));
    }
    return OK;
}

/* ---- what is run ---- */

static bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n > m && !strcmp(name + n - m, end);
}

/* Does the path stay in the folder? */
static bool is_below(const char *path)
{
    CLEANUP(freep) char *copy = xstrdup(path);
    char *rest = copy;
    for (char *part; (part = strsep(&rest, "/"));)
        if (!*part || !strcmp(part, ".."))
            return false;
    return true;
}

/* The words before the argument: the program itself, or what reads it.  Owned words: program. */
static enum status find_program(const struct run *run, const struct script *script, const char *words[3],
                                char **ret_program, struct error *err)
{
    CLEANUP(freep) char *path = xasprintf("%s/%s/%s", job_folder(run->job), SCRIPT_FOLDER, script->program);
    if (!is_below(script->program))
        return error_set(err, INVALID, "'%s' is no path below the script's folder", script->program);
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
        return error_set(err, INVALID, "there is no file '%s' to run", script->program);
    char head[4] = "";
    bool runs_itself = read(fd, head, sizeof(head)) >= 2 &&
                       (!memcmp(head, "#!", 2) || !memcmp(head, "\177ELF", sizeof(head)));
    *ret_program = xasprintf("./%s", script->program);
    if (runs_itself) {
        if (fchmod(fd, 0755))
            return error_set(err, FAILED, "cannot make '%s' executable: %s", script->program,
                             strerror(errno));
        words[0] = *ret_program;
    } else if (ends_in(script->program, ".py")) {
        words[0] = "/usr/bin/python3";
        words[1] = *ret_program;
    } else if (ends_in(script->program, ".sh")) {
        words[0] = "/bin/sh";
        words[1] = *ret_program;
    } else {
        return error_set(err, INVALID,
                         "'%s' is no program: it begins with neither #! nor ELF, and its name ends in "
                         "neither .py nor .sh",
                         script->program);
    }
    return OK;
}

static enum status write_parameters(const struct run *run, const char *text, struct error *err)
{
    CLEANUP(freep) char *path = path_join(job_folder(run->job), SCRIPT_FOLDER "/parameters.json");
    return file_write(path, text, strlen(text), 0644, err);
}

static struct sandbox_options options_of(const struct job *job, const struct script *script)
{
    const struct job_host *host = job_host(job);
    const struct script_limits *limits = &host->scripts;
    const struct pool_size *pool = pools_find(host->pools, job_lease(job)->pool);
    int cpus = pool && pool->cpus ? pool->cpus : host->threads;
    int64_t memory = pool && pool->memory_bytes ? pool->memory_bytes : limits->memory_bytes;
    return (struct sandbox_options){
        .folder = job_folder(job),
        .unsafe = limits->unsafe,
        .network = script->network,
        .gpus = script->gpus > 0 ? job_gpus(job) : NULL,
        .cpus = script->cpus ? script->cpus : cpus,
        .processes = limits->processes ? limits->processes : PROCESSES,
        .memory_bytes = script->memory_bytes ? script->memory_bytes : memory,
        .disk_bytes = limits->disk_bytes ? limits->disk_bytes : DISK,
        .cgroups = host->cgroups,
    };
}

/* ---- while it runs ---- */

static void on_metric(void *context, const char *name, int64_t step, double value)
{
    const struct run *run = context;
    job_metric(run->job, name, step, value);
    if (fault_point("worker.script"))
        job_end(run->job, JOB_RELEASED);
}

static void on_output(void *context, const char *bytes, size_t size)
{
    struct run *run = context;
    script_output_feed(&run->output, bytes, size);
}

static void on_line(void *context, const char *line)
{
    struct run *run = context;
    sandbox_line(&run->sandbox, line);
}

static enum status on_sample(void *context, pid_t pid, struct error *err)
{
    const struct run *run = context;
    return sandbox_sample(&run->sandbox, pid, err);
}

static void on_signal(void *context, pid_t pid, int number)
{
    const struct run *run = context;
    sandbox_signal(&run->sandbox, pid, number);
}

/* ---- how it ended ---- */

/* Words of the script's in a reason: what is no text is shown as such. */
static void last_words(const struct job *job, char out[REASON_MAX])
{
    job_last_line(job, out, REASON_MAX);
    CLEANUP(json_decrefp) json_t *text = json_string(out);
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < ' ' || (!text && (unsigned char)*c >= 0x80))
            *c = '?';
}

static enum status verdict(const struct job *job, int status, int number, struct error *err)
{
    char name[SIGNAL_NAME_MAX], words[REASON_MAX];
    if (number)
        return error_set(err, FAILED, "killed by signal %d (%s)", number, signal_name(number, name));
    if (!status)
        return OK;
    last_words(job, words);
    return error_set(err, FAILED, "exit status %d%s%s", status, *words ? ": " : "", words);
}

/* One that nests so deep that nobody would read it again is none. */
static json_t *storable(const json_t *result)
{
    if (!result)
        return json_null();
    CLEANUP(freep) char *text = json_text(result);
    CLEANUP(freep) char *wrapped = xasprintf("%s%s]]]]]]]]]]", RESULT_WRAPPER, text);
    CLEANUP(json_decrefp) json_t *again = NULL;
    return json_read(wrapped, strlen(wrapped), &again, NULL) == OK ? json_deep_copy(result) : json_null();
}

static json_t *make_result(struct run *run, int status, int number, json_t *artifacts)
{
    char name[SIGNAL_NAME_MAX];
    script_output_end(&run->output);
    if (run->output.n_refused)
        job_log(run->job,
                "%lld metrics were not understood: each needs a name of at most 63 bytes, a whole "
                "step and a number as value",
                (long long)run->output.n_refused);
    return json_pack("{s:o, s:o, s:o, s:O}", "exit-status", number ? json_null() : json_integer(status),
                     "signal", number ? json_string(signal_name(number, name)) : json_null(), "result",
                     storable(run->output.result), "artifacts", artifacts);
}

/*
 * Every end but one: a job that is given back, or lost, starts anew
 * elsewhere and leaves nothing.
 */
static enum status close_run(struct run *run, enum status watched, int wait_status, bool asked,
                             json_t **ret_result, struct error *err)
{
    struct error why = *err, late = {0};
    int status = 0, number = 0;
    enum job_end ending = job_ending(run->job);
    enum status ended = sandbox_end(&run->sandbox, wait_status, &status, &number, &late);
    if (ended != OK && watched == OK && !asked) {
        char words[REASON_MAX];
        last_words(run->job, words);
        return error_set(err, ended, "%s%s%s", late.message, *words ? ": " : "", words);
    }
    if (ending != JOB_GOES_ON && ending != JOB_CANCELLED)
        return error_set(err, CANCELLED, "the job was asked to stop");
    if (watched == OK && sandbox_check_memory(&run->sandbox, err) != OK)
        watched = err->status, why = *err;
    enum status within = watched == OK ? sandbox_sample_disk(&run->sandbox, 0, err) : OK;
    if (within != OK)
        watched = within, why = *err;
    CLEANUP(json_decrefp) json_t *artifacts = json_array();
    json_t *names = NULL;
    if (within == OK && artifacts_put(run->job, SCRIPT_ARTIFACTS, &names, &late) == OK) {
        json_decref(artifacts);
        artifacts = names;
    } else if (watched == OK) {
        return error_set(err, late.status, "%s", late.message);
    }
    *ret_result = make_result(run, status, number, artifacts);
    if (watched != OK)
        return error_set(err, watched, "%s", why.message);
    if (asked)
        return error_set(err, CANCELLED, "the job was asked to stop");
    return verdict(run->job, status, number, err);
}

static enum status run_child(struct run *run, const struct script *script, json_t **ret_result,
                             struct error *err)
{
    CLEANUP(freep) char *program = NULL;
    CLEANUP(freep) char *parameters = json_text(script->parameters);
    const char *words[] = {NULL, NULL, NULL, NULL};
    TRY(find_program(run, script, words, &program, err));
    TRY(write_parameters(run, parameters, err));
    words[words[1] ? 2 : 1] = parameters;
    CLEANUP(sandbox_command_release) struct sandbox_command command = {0};
    sandbox_command(&run->sandbox, words, &command);
    int64_t log_max = job_host(run->job)->scripts.log_bytes;
    struct child_guard guard = {
        .output = on_output,
        .sample = on_sample,
        .sample_ms = SANDBOX_SAMPLE_MS,
        .signal = on_signal,
        .log_max = log_max ? log_max : LOG,
        .grace_ms = job_host(run->job)->scripts.grace_ms,
    };
    struct child_options options = {.argv = command.argv, .line = on_line, .context = run, .guard = &guard};
    int wait_status = -1;
    bool asked = false;
    enum status watched = child_watch(run->job, &options, &wait_status, &asked, err);
    if (wait_status == -1) /* it never began */
        return watched;
    return close_run(run, watched, wait_status, asked, ret_result, err);
}

enum status script_run(struct job *job, const struct script *script, json_t **ret_result, struct error *err)
{
    struct run run = {.job = job};
    struct sandbox_options options = options_of(job, script);
    CLEANUP(freep) char *name = xasprintf("%s-%d", job_lease(job)->job, job_lease(job)->attempt);
    options.name = name;
    TRY(sandbox_init(&run.sandbox, &options, err));
    script_output_init(&run.output, on_metric, &run);
    run.output.is_order = script->is_order;
    enum status status = run_child(&run, script, ret_result, err);
    script_output_release(&run.output);
    sandbox_release(&run.sandbox);
    return status;
}
