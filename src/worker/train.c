/*
 * train.c - a job that trains: lays out the data as the rewritten net names
 * it, and runs `et train` in the job's folder.
 *
 *   training-data/A/x.png  training.txt   "training-data/A/x.png 0"
 *   test-data/A/y.png      testing.txt
 *   solver.prototxt  solver-net.prototxt  [snapshot.caffemodel  snapshot.solverstate]
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "netdef/netdef.h"
#include "worker/archives.h"
#include "worker/child.h"
#include "worker/database.h"
#include "worker/kinds.h"
#include "worker/labels.h"
#include "worker/progress.h"
#include "worker/snapshot.h"

#define SNAPSHOT_EVERY_S "60"
#define SOLVER_MAX_BYTES (1 << 20)

static const char *const archive_names[] = {"training.tar.gz", "testing.tar.gz"};
static const char *const data_folders[] = {"training-data", "test-data"};
static const char *const list_names[] = {"training.txt", "testing.txt"};

struct train {
    struct job *job;
    struct labels labels;
    struct progress progress;
    int n_snapshots;
    char *model; /* the last that the user's own settings made; NULL: none yet */
};

/* ---- data ---- */

static enum status open_folder(const struct train *t, const char *name, int *ret_fd, struct error *err)
{
    CLEANUP(freep) char *path = path_join(job_folder(t->job), name);
    TRY(dir_make(path, err));
    *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? error_set(err, FAILED, "cannot open '%s': %s", path, strerror(errno)) : OK;
}

static enum status open_archive(const struct train *t, int side, int *ret_fd,
                                struct archive_reader **ret_reader, struct error *err)
{
    TRY(job_get_input(t->job, archive_names[side], archive_names[side], err));
    CLEANUP(freep) char *path = path_join(job_folder(t->job), archive_names[side]);
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*ret_fd < 0)
        return error_set(err, FAILED, "cannot open '%s': %s", path, strerror(errno));
    unlink(path); /* its space is needed no longer than it is read */
    return archive_reader_open(*ret_fd, archive_names[side], NULL, ret_reader, err);
}

/* Files and the list of them; the numbers of labels are the same for both sides. */
static enum status lay_out_images(struct train *t, int side, struct error *err)
{
    CLEANUP(fd_closep) int fd = -1;
    CLEANUP(fd_closep) int folder = -1;
    CLEANUP(archive_reader_freep) struct archive_reader *reader = NULL;
    TRY(open_archive(t, side, &fd, &reader, err));
    TRY(open_folder(t, data_folders[side], &folder, err));
    CLEANUP(freep) char *list_path = path_join(job_folder(t->job), list_names[side]);
    CLEANUP(file_closep) FILE *list = fopen(list_path, "we");
    if (!list)
        return error_set(err, status_from_errno(errno), "cannot create '%s': %s", list_path, strerror(errno));
    labels_begin_archive(&t->labels);
    for (;;) {
        TRY(job_check(t->job, err));
        struct archive_item item;
        bool more;
        TRY(archive_reader_next(reader, &item, &more, err));
        if (!more)
            break;
        if (item.is_folder)
            continue;
        int label;
        TRY(labels_of_path(&t->labels, item.path, &label, err));
        TRY(archive_reader_extract(reader, folder, err));
        fprintf(list, "%s/%s %d\n", data_folders[side], item.path, label);
    }
    if (fflush(list) || ferror(list))
        return error_set(err, status_from_errno(errno), "cannot write '%s': %s", list_path, strerror(errno));
    return OK;
}

/* The database's own folder, wherever it lies in the archive, becomes the folder that the net names. */
static enum status lay_out_database(struct train *t, int side, struct error *err)
{
    CLEANUP(fd_closep) int fd = -1;
    CLEANUP(fd_closep) int folder = -1;
    CLEANUP(archive_reader_freep) struct archive_reader *reader = NULL;
    CLEANUP(database_release) struct database database = {0};
    CLEANUP(freep) char *unpacked = xasprintf("unpacked-%d", side);
    TRY(open_archive(t, side, &fd, &reader, err));
    TRY(open_folder(t, unpacked, &folder, err));
    for (;;) {
        TRY(job_check(t->job, err));
        struct archive_item item;
        bool more;
        TRY(archive_reader_next(reader, &item, &more, err));
        if (!more)
            break;
        if (!item.is_folder)
            TRY(database_note(&database, item.path, err));
        TRY(archive_reader_extract(reader, folder, err));
    }
    if (!database.folder)
        return error_set(err, INVALID, "'%s' holds no LMDB (data.mdb) and no LevelDB (CURRENT)",
                         archive_names[side]);
    CLEANUP(freep) char *from = xasprintf("%s/%s/%s", job_folder(t->job), unpacked, database.folder);
    CLEANUP(freep) char *to = path_join(job_folder(t->job), data_folders[side]);
    if (rename(from, to))
        return error_set(err, FAILED, "cannot move '%s' to '%s': %s", from, to, strerror(errno));
    return OK;
}

/* An element of an array trains with values of its own. */
static enum status vary_solver(struct train *t, const json_t *values, struct error *err)
{
    Caffe__SolverParameter *solver = NULL;
    CLEANUP(freep) char *path = path_join(job_folder(t->job), "solver.prototxt");
    CLEANUP(buf_release) struct buf text;
    buf_init(&text, SOLVER_MAX_BYTES);
    TRY(solver_read_file(path, &solver, err));
    enum status status = solver_vary(solver, values, err);
    if (status == OK)
        message_print_text(&solver->base, &text);
    caffe__solver_parameter__free_unpacked(solver, NULL);
    if (status == OK && text.overflowed)
        status = error_set(err, TOO_LARGE, "the solver is over %d bytes", SOLVER_MAX_BYTES);
    return status == OK ? file_write(path, text.data, text.size, 0600, err) : status;
}

static enum status lay_out(struct train *t, struct error *err)
{
    TRY(job_get_input(t->job, "solver.prototxt", "solver.prototxt", err));
    const json_t *values = json_object_get(job_lease(t->job)->spec, "solver");
    if (values)
        TRY(vary_solver(t, values, err));
    TRY(job_get_input(t->job, "solver-net.prototxt", "solver-net.prototxt", err));
    bool is_database = !strcmp(json_get_string(job_lease(t->job)->spec, "layer_type", ""), "DATA");
    for (int side = 0; side < 2; side++)
        TRY(is_database ? lay_out_database(t, side, err) : lay_out_images(t, side, err));
    return OK;
}

/* *ret_resume: a lost attempt left a snapshot. */
static enum status fetch_snapshot(struct train *t, bool *ret_resume, struct error *err)
{
    *ret_resume = lease_find_input(job_lease(t->job), SNAPSHOT_TAR) != NULL;
    if (!*ret_resume)
        return OK;
    TRY(job_get_input(t->job, SNAPSHOT_TAR, SNAPSHOT_TAR, err));
    CLEANUP(freep) char *tar = path_join(job_folder(t->job), SNAPSHOT_TAR);
    TRY(snapshot_unpack(tar, job_folder(t->job), err));
    unlink(tar);
    return OK;
}

/* ---- progress ---- */

static void on_metric(void *context, const char *name, int64_t step, double value)
{
    const struct train *t = context;
    job_metric(t->job, name, step, value);
}

static void on_progress(void *context, json_t *progress)
{
    const struct train *t = context;
    job_progress(t->job, progress);
}

static bool link_as(const struct train *t, const char *from, const char *to)
{
    CLEANUP(freep) char *old = from[0] == '/' ? xstrdup(from) : path_join(job_folder(t->job), from);
    CLEANUP(freep) char *new = path_join(job_folder(t->job), to);
    return !link(old, new);
}

/* The service's pair has fixed names and will be replaced: links keep this one until it is uploaded. */
static void on_snapshot(void *context, const char *model, const char *state, bool service)
{
    struct train *t = context;
    if (!service) {
        free(t->model);
        t->model = xstrdup(model);
        return;
    }
    int n = ++t->n_snapshots;
    CLEANUP(freep) char *model_link = xasprintf("kept-%d.caffemodel", n);
    CLEANUP(freep) char *state_link = xasprintf("kept-%d.solverstate", n);
    if (link_as(t, model, model_link) && link_as(t, state, state_link))
        job_snapshot(t->job, model_link, state_link);
}

static void on_line(void *context, const char *line)
{
    struct train *t = context;
    if (fault_point("worker.train"))
        job_end(t->job, JOB_RELEASED);
    progress_line(&t->progress, line);
}

/* ---- the child ---- */

static enum status run_child(struct train *t, bool resume, struct error *err)
{
    int64_t threads = json_get_int(job_lease(t->job)->spec, "threads", 0);
    CLEANUP(freep)
    char *threads_flag =
        xasprintf("--threads=%lld", (long long)(threads > 0 ? threads : job_host(t->job)->threads));
    const char *precision = json_get_string(job_lease(t->job)->spec, "precision", "f32");
    CLEANUP(freep) char *precision_flag = xasprintf("--precision=%s", precision);
    const char *argv[] = {
        "et",
        "train",
        "--solver=solver.prototxt",
        threads_flag,
        precision_flag,
        "--snapshot-every=" SNAPSHOT_EVERY_S,
        "--service-snapshot=snapshot",
        "--progress-fd=3",
        resume ? "--snapshot=" SNAPSHOT_STATE : NULL,
        NULL,
    };
    struct child_options options = {.argv = argv, .line = on_line, .context = t};
    return child_run(t->job, &options, err);
}

static bool is_there(const struct train *t, const char *name)
{
    CLEANUP(freep) char *path = path_join(job_folder(t->job), name);
    return !access(path, R_OK);
}

/* The model of the last iteration, in either format. */
static enum status put_model(struct train *t, struct error *err)
{
    int64_t max_iter = json_get_int(job_lease(t->job)->spec, "max_iter", 0);
    CLEANUP(freep) char *binary = xasprintf("snapshot_iter_%lld.caffemodel", (long long)max_iter);
    CLEANUP(freep) char *hdf5 = xasprintf("%s.h5", binary);
    const char *model = is_there(t, binary) ? binary : is_there(t, hdf5) ? hdf5 : t->model;
    if (!model || !is_there(t, model))
        return error_set(err, INVALID,
                         "training ended without a snapshot at iteration %lld: is snapshot_after_train "
                         "off in the solver?",
                         (long long)max_iter);
    return job_put_blob(t->job, model, "trained.caffemodel", err);
}

static enum status run(struct train *t, json_t **ret_result, struct error *err)
{
    bool resume;
    TRY(lay_out(t, err));
    TRY(fetch_snapshot(t, &resume, err));
    if (json_get_bool(job_lease(t->job)->spec, "gpu", false))
        job_log(t->job, "a GPU was asked for: this engine trains on the CPU");
    TRY(run_child(t, resume, err));
    TRY(put_model(t, err));
    *ret_result =
        json_pack("{s:o, s:i, s:o}", "labels", t->labels.n ? labels_json(&t->labels) : json_null(), "skipped",
                  0, "accuracy", t->progress.has_accuracy ? json_real(t->progress.accuracy) : json_null());
    if (t->progress.layer_times)
        json_object_set(*ret_result, "layer-times", t->progress.layer_times);
    return OK;
}

enum status job_run_train(struct job *job, json_t **ret_result, struct error *err)
{
    struct train t = {.job = job};
    labels_init(&t.labels);
    progress_init(&t.progress, &(struct progress_sink){on_metric, on_progress, on_snapshot, &t});
    enum status status = run(&t, ret_result, err);
    progress_release(&t.progress);
    labels_release(&t.labels);
    free(t.model);
    return status;
}
