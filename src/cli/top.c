/*
 * top.c - `et top`: workers and jobs, as they are now.
 *
 * In a terminal it is drawn anew when an event of the caller's comes, and
 * every REFRESH_MS for the times in it.  The operator's token has no events
 * of its own: then only the latter.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/terminal.h"

#define REFRESH_MS    2000
#define REDRAW_MIN_MS 200
#define SCREEN_MAX    (1024 * 1024)
#define WAITING_SHOWN "50"

static const char help[] =
    "usage: et top [--once] [options]\n\n"
    "Shows workers and jobs, live. You see your own jobs and the workers that run them;\n"
    "with the operator's token, all.\n\n"
    "  -1, --once             print once and end, as it does when the output is no "
    "terminal\n" CLIENT_OPTIONS_HELP "\nNO_COLOR in the environment turns colours off.\n\nexample:\n"
    "  et top\n";

struct top {
    struct client client; /* of the tables */
    struct client stream; /* of the events: it is busy while they come */
    struct terminal terminal;
    bool redraws;
    int64_t drawn_ms;
};

static void top_release(struct top *t)
{
    client_release(&t->client);
    client_release(&t->stream);
}

/* RFC 3339 in UTC, to ms since 1970; 0 when it is none. */
static int64_t time_of(const char *text)
{
    struct tm tm = {0};
    return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) * 1000 : 0;
}

static void put_age(struct buf *b, const char *since)
{
    int64_t at_ms = time_of(since), s = MAX((int64_t)0, (clock_now_ms() - at_ms) / 1000);
    if (!at_ms)
        buf_printf(b, "%8s", "-");
    else if (s < 120)
        buf_printf(b, "%6lld s", (long long)s);
    else if (s < 7200)
        buf_printf(b, "%4lld min", (long long)s / 60);
    else
        buf_printf(b, "%6lld h", (long long)s / 3600);
}

static void put_heading(const struct top *t, struct buf *b, const char *text)
{
    buf_printf(b, "\n%s%s%s\n", t->terminal.has_colour ? "\033[1m" : "", text,
               t->terminal.has_colour ? "\033[0m" : "");
}

static void put_progress(struct buf *b, const json_t *progress)
{
    int64_t done = json_get_int(progress, "iteration", -1),
            total = json_get_int(progress, "max_iterations", 0);
    if (done >= 0 && total > 0)
        buf_printf(b, "  %3.0f %%  %lld/%lld", 100.0 * (double)done / (double)total, (long long)done,
                   (long long)total);
    if (json_is_number(json_object_get(progress, "loss")))
        buf_printf(b, "  loss %.4g", json_number_value(json_object_get(progress, "loss")));
    if (json_is_number(json_object_get(progress, "accuracy")))
        buf_printf(b, "  accuracy %.4g", json_number_value(json_object_get(progress, "accuracy")));
}

static void put_workers(const struct top *t, const json_t *workers, struct buf *b)
{
    size_t i, k;
    json_t *worker, *job;
    put_heading(t, b, "WORKER                            BUSY      SEEN  POOLS");
    json_array_foreach((json_t *)workers, i, worker) {
        terminal_put(b, json_get_string(worker, "name", ""), 32);
        buf_printf(b, "  %zu/%lld  ", json_array_size(json_object_get(worker, "jobs")),
                   (long long)json_get_int(worker, "slots", 0));
        put_age(b, json_get_string(worker, "seen", ""));
        buf_puts(b, " ");
        json_array_foreach(json_object_get(worker, "pools"), k, job) {
            buf_putc(b, ' ');
            terminal_put(b, json_string_value(job), 0);
        }
        buf_putc(b, '\n');
    }
    put_heading(t, b, "RUNNING                           KIND          SINCE  WORKER");
    json_array_foreach((json_t *)workers, i, worker) {
        json_array_foreach(json_object_get(worker, "jobs"), k, job) {
            terminal_put(b, json_get_string(job, "id", ""), 32);
            buf_puts(b, "  ");
            terminal_put(b, json_get_string(job, "kind", ""), 10);
            put_age(b, json_get_string(job, "since", ""));
            buf_puts(b, "  ");
            terminal_put(b, json_get_string(worker, "name", ""), 0);
            put_progress(b, json_object_get(job, "progress"));
            if (json_get_int(job, "attempt", 1) > 1)
                buf_printf(b, "  attempt %lld", (long long)json_get_int(job, "attempt", 1));
            buf_putc(b, '\n');
        }
    }
}

static void put_waiting(const struct top *t, const json_t *jobs, struct buf *b)
{
    size_t i;
    json_t *job;
    if (!json_array_size(jobs))
        return;
    put_heading(t, b, "WAITING                           STATE");
    json_array_foreach((json_t *)jobs, i, job) {
        terminal_put(b, json_get_string(job, "_id", ""), 32);
        buf_puts(b, "  ");
        terminal_put(b, json_get_string(job, "state", ""), 10);
        put_age(b, json_get_string(job, "created", ""));
        buf_putc(b, '\n');
    }
}

/* Lines of text onto the screen, from its upper left corner; no more than it has. */
static void draw(const struct top *t, const struct buf *text)
{
    int row = 1;
    fputs("\033[H", stdout);
    for (const char *s = text->data; *s && row < t->terminal.rows; row++) {
        size_t size = strcspn(s, "\n");
        printf("%.*s\033[K\n", (int)MIN(size, (size_t)t->terminal.columns), s);
        s += size + (s[size] == '\n');
    }
    fputs("\033[J", stdout);
    fflush(stdout);
}

static enum status show(struct top *t, struct error *err)
{
    CLEANUP(json_decrefp) json_t *workers = NULL;
    CLEANUP(json_decrefp) json_t *waiting = NULL;
    CLEANUP(buf_release) struct buf b;
    buf_init(&b, SCREEN_MAX);
    TRY(client_json(&t->client, "GET", "/workers", NULL, &workers, err));
    enum status status = client_json(&t->client, "GET", "/training-jobs?state=pending&limit=" WAITING_SHOWN,
                                     NULL, &waiting, err);
    if (status != OK && status != DENIED) /* the operator has no jobs */
        return status;
    const json_t *list = json_object_get(workers, "workers");
    const json_t *jobs = waiting ? json_object_get(waiting, "items") : NULL;
    if (t->client.as_json) {
        CLEANUP(json_decrefp)
        json_t *all = json_pack("{s:O, s:o}", "workers", list, "waiting",
                                jobs ? json_incref((json_t *)jobs) : json_array());
        client_print(&t->client, all, " ");
        return OK;
    }
    char now[CLOCK_TEXT_MAX];
    buf_printf(&b, "%s  %s\n", t->client.server, clock_text(clock_now_ms(), now));
    put_workers(t, list, &b);
    put_waiting(t, jobs, &b);
    if (!t->redraws)
        fwrite(b.data, 1, b.size, stdout);
    else
        draw(t, &b);
    t->drawn_ms = clock_monotonic_ms();
    return OK;
}

static enum status on_event(void *context, const void *bytes, size_t size, struct error *err)
{
    struct top *t = context;
    (void)bytes, (void)size;
    if (clock_monotonic_ms() - t->drawn_ms < REDRAW_MIN_MS)
        return OK;
    terminal_look(&t->terminal);
    return show(t, err);
}

static enum status watch(void *context, bool *ret_progress, struct error *err)
{
    struct top *t = context;
    TRY(show(t, err));
    *ret_progress = true;
    CLEANUP(freep) char *path = xasprintf("/events?types=document,progress&heartbeat=%d", REFRESH_MS);
    struct http_request request = {.sink = on_event, .context = t};
    struct http_response response;
    enum status status = client_perform(&t->stream, &request, path, &response, err);
    /* Either way: again, after a pause. */
    if (status == OK) {
        http_response_release(&response);
        status = error_set(err, UNAVAILABLE, "the server stopped");
    } else if (status == DENIED) {
        nanosleep(&(struct timespec){.tv_sec = REFRESH_MS / 1000}, NULL);
        status = error_set(err, UNAVAILABLE, "there are no events for this token");
    }
    return status;
}

int command_top(int argc, char **argv)
{
    static const struct option options[] = {{"once", no_argument, NULL, '1'},
                                            {"help", no_argument, NULL, 'h'},
                                            CLIENT_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    struct client_settings settings = {0};
    bool once = false;
    for (int option; (option = getopt_long(argc, argv, "1h", options, NULL)) != -1;) {
        if (option == '1')
            once = true;
        else if (option == 'h')
            return fputs(help, stdout), EXIT_DONE;
        else if (!client_option(option, optarg, &settings))
            return EXIT_USAGE;
    }
    if (optind < argc)
        return command_usage("top", "'%s' is one argument too many", argv[optind]);
    struct error err = {0};
    CLEANUP(top_release) struct top t = {0};
    terminal_look(&t.terminal);
    if (client_open(&settings, true, &t.client, &err) != OK ||
        client_open(&settings, true, &t.stream, &err) != OK)
        return command_fail(&err);
    t.redraws = t.terminal.is_one && !once && !t.client.as_json;
    if (t.redraws)
        fputs("\033[2J", stdout);
    enum status status = t.redraws ? follow(watch, &t, false, &err) : show(&t, &err);
    return status == OK ? EXIT_DONE : command_fail(&err);
}
