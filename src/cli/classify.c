/* classify.c - `et classify`: labels for pictures, from a classifier or straight from a training job. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/deploy_net.h"
#include "cli/job.h"
#include "cli/job_flags.h"

static const char help[] =
    "usage: et classify [options] ID PICTURE...\n\n"
    "Labels pictures (files, or http:// URLs that the server fetches). ID is a classifier\n"
    "or a finished training job; for a job a classifier is made first, from the net that\n"
    "was trained or from --net.\n\n"
    "      --net FILE         prototxt of the net for labelling, with an Input layer\n"
    "      --scale S          what pixels in [0,1] are multiplied by (default: as in training; 255 with --net)\n"
    "      --no-wait          print the id of the job, and do not wait for its labels\n" JOB_FLAGS_HELP
        CLIENT_OPTIONS_HELP "\nexample:\n"
    "  et classify 019a3f0c1d2e4b5a69788796a5b4c3d2 letters/*.png\n";

/* Shape and text from a net that the user wrote. */
static enum status read_given_net(const char *path, struct deploy_net *ret_deploy, struct error *err)
{
    Caffe__NetParameter *net = NULL;
    TRY(net_read_file(path, &net, err));
    struct netdef_options options = {.phase = CAFFE__PHASE__TEST};
    CLEANUP(netdef_freep) struct netdef *def = NULL;
    enum status status = netdef_create(net, &options, &def, err);
    caffe__net_parameter__free_unpacked(net, NULL);
    if (status != OK)
        return error_context(err, "file '%s'", path);
    const struct shape *input = NULL;
    for (int i = 0; i < def->n_layers && !input; i++)
        if (!strcmp(def->layers[i].type->name, "Input"))
            input = &def->blobs[def->layers[i].tops[0]].shape;
    if (!input || input->n_axes != 4)
        return error_set(err, INVALID,
                         "file '%s': it needs an Input layer of four axes: pictures, channels, height, width",
                         path);
    struct deploy_net d = {
        .scale = 255, .channels = input->dim[1], .height = input->dim[2], .width = input->dim[3]};
    TRY(file_read(path, 1 << 20, &d.text, NULL, err));
    *ret_deploy = d;
    return OK;
}

/* From the net that the job was trained with. */
static enum status derive_net(struct client *c, const json_t *job, struct deploy_net *ret_deploy,
                              struct error *err)
{
    const char *solver_id = json_get_string(job, "solver-id", "");
    CLEANUP(json_decrefp) json_t *solver = NULL, *dataset = NULL;
    TRY(client_document(c, solver_id, &solver, err));
    TRY(client_document(c, json_get_string(solver, "dataset-id", ""), &dataset, err));
    int shape[3] = {0};
    json_t *recorded = json_object_get(dataset, "image-shape");
    for (size_t i = 0; i < 3; i++)
        shape[i] = (int)json_integer_value(json_array_get(recorded, i));
    CLEANUP(freep) char *path = xasprintf("/blobs/%s/solver-net.prototxt", solver_id);
    struct http_request request = {0};
    struct http_response response;
    TRY(client_perform(c, &request, path, &response, err));
    Caffe__NetParameter *net = NULL;
    enum status status =
        net_read_text(response.body.data, response.body.size, "solver-net.prototxt", &net, err);
    http_response_release(&response);
    TRY(status);
    status = deploy_net_derive(net, shape, ret_deploy, err);
    caffe__net_parameter__free_unpacked(net, NULL);
    return status;
}

static enum status make_classifier(struct client *c, const json_t *job, const char *net_file,
                                   const char *scale, char *ret_id, struct error *err)
{
    struct deploy_net deploy = {0};
    if (net_file)
        TRY(read_given_net(net_file, &deploy, err));
    else
        TRY(derive_net(c, job, &deploy, err));
    CLEANUP(freep) char *text = deploy.text;
    CLEANUP(freep) char *scale_text = scale ? xstrdup(scale) : xasprintf("%.9g", deploy.scale);
    CLEANUP(json_decrefp)
    json_t *body =
        json_pack("{s:s, s:s, s:s, s:i, s:i, s:b, s:b}", "training-job-id", json_get_string(job, "_id", ""),
                  "specification", text, "scale", scale_text, "image-width", deploy.width, "image-height",
                  deploy.height, "color", deploy.channels == 3, "gpu", 0);
    CLEANUP(json_decrefp) json_t *classifier = NULL;
    TRY(client_json(c, "POST", "/classifiers", body, &classifier, err));
    snprintf(ret_id, ID_MAX, "%s", json_get_string(classifier, "_id", ""));
    return OK;
}

static bool is_url(const char *picture)
{
    return !strncmp(picture, "http://", 7) || !strncmp(picture, "https://", 8);
}

/* The key of a picture in the results: SHA-1 of the URL, or of the file's bytes. */
static enum status picture_key(const char *picture, char ret_key[HASH_HEX_MAX], struct error *err)
{
    if (is_url(picture)) {
        hash_bytes(HASH_SHA1, picture, strlen(picture), ret_key);
        return OK;
    }
    CLEANUP(freep) char *bytes = NULL;
    size_t size = 0;
    TRY(file_read(picture, 256u << 20, &bytes, &size, err));
    hash_bytes(HASH_SHA1, bytes, size, ret_key);
    return OK;
}

static enum status print_labels(const json_t *job, char *const *pictures, struct error *err)
{
    json_t *results = json_object_get(job, "results");
    for (char *const *p = pictures; *p; p++) {
        char key[HASH_HEX_MAX];
        TRY(picture_key(*p, key, err));
        printf("%s\t%s\n", json_get_string(results, key, "?"), *p);
    }
    return OK;
}

/* What is said of the job, as parts of the form. */
static void add_flags(struct form *form, const json_t *flags)
{
    const char *key;
    json_t *value, *id;
    size_t i;
    json_object_foreach((json_t *)(uintptr_t)flags, key, value) {
        json_array_foreach(value, i, id)
            form_value(form, key, json_string_value(id));
        if (json_is_array(value))
            continue;
        CLEANUP(freep)
        char *text = json_is_string(value) ? xstrdup(json_string_value(value)) : json_text(value);
        form_value(form, key, text);
    }
}

struct wish {
    const char *net_file, *scale;
    struct job_flags flags;
    bool no_wait;
};

static enum status classify(struct client *c, const char *id, const struct wish *wish, char *const *pictures,
                            json_t **ret_job, struct error *err)
{
    CLEANUP(json_decrefp) json_t *document = NULL;
    TRY(client_document(c, id, &document, err));
    char classifier[ID_MAX];
    snprintf(classifier, sizeof(classifier), "%s", id);
    const char *type = json_get_string(document, "type", "");
    if (!strcmp(type, "training-job"))
        TRY(make_classifier(c, document, wish->net_file, wish->scale, classifier, err));
    else if (strcmp(type, "classifier"))
        return error_set(err, INVALID, "'%s' is a %s: a classifier or a training job is wanted", id, type);
    CLEANUP(form_release) struct form form;
    form_init(&form);
    add_flags(&form, wish->flags.job);
    for (char *const *p = pictures; *p; p++)
        if (is_url(*p))
            form_value(&form, "urls", *p);
        else
            form_file(&form, "files", *p);
    CLEANUP(freep) char *path = xasprintf("/classifiers/%s/classify", classifier);
    CLEANUP(json_decrefp) json_t *job = NULL;
    TRY(form_send(&form, c, path, &job, err));
    if (wish->no_wait) {
        *ret_job = TAKE(job);
        return OK;
    }
    return job_wait(c, json_get_string(job, "_id", ""), NULL, NULL, ret_job, err);
}

static void wish_release(struct wish *w)
{
    job_flags_release(&w->flags);
}

int command_classify(int argc, char **argv)
{
    enum { NET = 1, SCALE, NO_WAIT };
    static const struct option options[] = {{"net", required_argument, NULL, NET},
                                            {"scale", required_argument, NULL, SCALE},
                                            {"no-wait", no_argument, NULL, NO_WAIT},
                                            {"help", no_argument, NULL, 'h'},
                                            JOB_FLAGS,
                                            CLIENT_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    struct client_settings settings = {0};
    CLEANUP(wish_release) struct wish wish = {.no_wait = false};
    job_flags_init(&wish.flags);
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        int end = -1;
        if (option == NET)
            wish.net_file = optarg;
        else if (option == SCALE)
            wish.scale = optarg;
        else if (option == NO_WAIT)
            wish.no_wait = true;
        else if (option == 'h')
            return fputs(help, stdout), EXIT_DONE;
        else if (option >= JOB_FLAG_AFTER && option < JOB_FLAG_END)
            end = job_flags_take(&wish.flags, "classify", option, optarg);
        else if (!client_option(option, optarg, &settings))
            return EXIT_USAGE;
        if (end >= 0)
            return end;
    }
    if (optind + 2 > argc)
        return command_usage("classify", "an id and at least one picture are wanted");
    char **pictures = argv + optind + 1;
    struct error err = {0};
    CLEANUP(client_release) struct client c = {0};
    CLEANUP(json_decrefp) json_t *job = NULL;
    if (client_open(&settings, true, &c, &err) != OK ||
        classify(&c, argv[optind], &wish, pictures, &job, &err) != OK)
        return command_fail(&err);
    if (wish.no_wait) {
        client_print(&c, job, "%s", json_get_string(job, "_id", ""));
        return EXIT_DONE;
    }
    if (c.as_json)
        client_print(&c, job, " ");
    else if (!state_is_good(job))
        fprintf(stderr, "et: %s\n", json_get_string(job, "processing-log", "the job failed"));
    else if (print_labels(job, pictures, &err) != OK)
        return command_fail(&err);
    return job_exit_status(job);
}
