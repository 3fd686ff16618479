#include "../test.h"

#include "base/buf.h"
#include "worker/progress.h"

static void on_metric(void *context, const char *name, int64_t step, double value)
{
    buf_printf(context, "%s@%lld=%g ", name, (long long)step, value);
}

static void on_progress(void *context, json_t *progress)
{
    CLEANUP(json_decrefp) json_t *owned = progress;
    CLEANUP(freep) char *text = json_text(owned);
    buf_printf(context, "%s ", text);
}

static void on_snapshot(void *context, const char *model, const char *state, bool service)
{
    buf_printf(context, "%s+%s%s ", model, state, service ? "!" : "");
}

static void each_line_becomes_metrics_progress_or_a_snapshot(void **state)
{
    (void)state;
    static const struct {
        const char *line, *seen;
    } rows[] = {
        {"{\"iteration\": 5, \"max_iterations\": 10, \"loss\": 0.5, \"lr\": 0.01, \"images_per_second\": "
         "100.5,"
         " \"outputs\": {\"loss\": 0.5}}",
         "loss@5=0.5 lr@5=0.01 images_per_second@5=100.5 "
         "{\"images_per_second\":100.5,\"iteration\":5,\"loss\":0.5,\"lr\":0.01,\"max_iterations\":10} "},
        {"{\"iteration\": 6, \"max_iterations\": 10, \"loss\": \"NaN\"}",
         "loss@6=nan {\"images_per_second\":100.5,\"iteration\":6,\"loss\":\"NaN\",\"lr\":0.01,"
         "\"max_iterations\":10} "},
        {"{\"test\": 1, \"iteration\": 6, \"outputs\": {\"x\": [1, \"-Infinity\"]}}",
         "test1/x.0@6=1 test1/x.1@6=-inf "},
        {"{\"test\": 0, \"iteration\": 6, \"outputs\": {\"accuracy\": 0.75}}",
         "test/accuracy@6=0.75 {\"accuracy\":0.75,\"images_per_second\":100.5,\"iteration\":6,"
         "\"loss\":\"NaN\",\"lr\":0.01,\"max_iterations\":10} "},
        {"{\"snapshot\": {\"iteration\": 6, \"model\": \"m\", \"state\": \"s\", \"service\": true}}",
         "m+s! "},
        {"{\"snapshot\": {\"iteration\": 6, \"model\": \"m\", \"state\": \"s\", \"service\": false}}",
         "m+s "},
        {"{\"else\": 1}", ""},
        {"not JSON", ""},
        {"[1]", ""},
        {"{\"iteration\": 7, \"loss\": \"word\"}",
         "{\"accuracy\":0.75,\"images_per_second\":100.5,\"iteration\":7,\"loss\":\"word\",\"lr\":0.01,"
         "\"max_iterations\":10} "},
    };
    struct buf seen;
    buf_init(&seen, 10000);
    struct progress p;
    progress_init(&p, &(struct progress_sink){on_metric, on_progress, on_snapshot, &seen});
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        progress_line(&p, rows[i].line);
        assert_string_equal(seen.data, rows[i].seen);
        buf_clear(&seen);
    }
    assert_true(p.has_accuracy && p.accuracy == 0.75);
    progress_release(&p);
    buf_release(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_becomes_metrics_progress_or_a_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
