#include "../test.h"

#include "api/resource.h"

#define ID "0000018f0000aaaaaaaaaaaaaaaaaaaa"

static json_t *read_json(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    return json;
}

static struct document document_of(const char *type, enum document_state state, const char *body)
{
    struct document d = {.id = ID,
                         .owner = "user:foo",
                         .rev = 3,
                         .state = state,
                         .created_ms = 0,
                         .updated_ms = 1500,
                         .body = read_json(body)};
    snprintf(d.type, sizeof d.type, "%s", type);
    return d;
}

static void a_document_says_where_it_stands_in_the_words_of_the_contract(void **state)
{
    (void)state;
    static const struct {
        enum document_state state;
        const char *word, *exact;
    } rows[] = {
        {STATE_WAITING, "pending", "waiting"},
        {STATE_READY, "pending", "ready"},
        {STATE_PROCESSING, "processing", "leased"},
        {STATE_FINISHED, "finished_successfully", "finished"},
        {STATE_FAILED, "failed", "failed"},
        {STATE_CANCELLED, "failed", "cancelled"},
        {STATE_NONE, "finished_successfully", "finished"}, /* an upload: there was nothing to do */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct document d = document_of("datafile", rows[i].state, "{}");
        json_t *shown = resource_encode(&resource_datafile, &d);
        assert_string_equal(json_get_string(shown, "processing-state", ""), rows[i].word);
        assert_string_equal(json_get_string(shown, "state", ""), rows[i].exact);
        assert_string_equal(json_get_string(shown, "processing-log", "absent"), "");
        json_decref(shown);
        document_release(&d);
    }
}

static void every_document_has_its_id_revision_owner_and_times(void **state)
{
    (void)state;
    struct document d = document_of("solver", STATE_NONE, "{\"LayerType\":12,\"_id\":\"x\",\"secret\":1}");
    json_t *shown = resource_encode(&resource_solver, &d);
    assert_string_equal(json_get_string(shown, "_id", ""), ID);
    assert_string_equal(json_get_string(shown, "id", ""), ID);
    assert_string_equal(json_get_string(shown, "type", ""), "solver");
    assert_string_equal(json_get_string(shown, "user-id", ""), "user:foo");
    assert_string_equal(json_get_string(shown, "created", ""), "1970-01-01T00:00:00.000Z");
    assert_string_equal(json_get_string(shown, "updated", ""), "1970-01-01T00:00:01.500Z");
    assert_memory_equal(json_get_string(shown, "_rev", ""), "3-", 2);
    assert_int_equal(strlen(json_get_string(shown, "_rev", "")), 2 + 32);
    assert_int_equal(json_get_int(shown, "LayerType", 0), 12);
    assert_null(json_object_get(shown, "secret"));
    assert_null(json_object_get(shown, "processing-state"));
    json_decref(shown);
    document_release(&d);
}

static void what_is_not_there_yet_is_empty_or_null(void **state)
{
    (void)state;
    struct document d = document_of("training-job", STATE_READY, "{\"solver-id\":\"" ID "\"}");
    json_t *shown = resource_encode(&resource_training_job, &d);
    const char *const empty[] = {"std-out-url", "std-err-url", "trained-model-url"};
    for (size_t i = 0; i < ARRAY_SIZE(empty); i++)
        assert_string_equal(json_get_string(shown, empty[i], "absent"), "");
    assert_true(json_is_null(json_object_get(shown, "labels")));
    json_decref(shown);
    document_release(&d);
}

static void a_dataset_shows_both_spellings_of_its_test_data(void **state)
{
    (void)state;
    struct document d = document_of("dataset", STATE_READY, "{\"test\":{\"datafile-id\":\"" ID "\"}}");
    json_t *shown = resource_encode(&resource_dataset, &d);
    assert_non_null(json_object_get(shown, "test"));
    assert_true(json_equal(json_object_get(shown, "test"), json_object_get(shown, "testing")));
    json_decref(shown);
    document_release(&d);
}

static void every_type_has_its_resource(void **state)
{
    (void)state;
    static const char *const types[] = {"user",         "datafile",   "dataset",     "solver",
                                        "training-job", "classifier", "classify-job"};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        assert_string_equal(resource_of_type(types[i])->type, types[i]);
    assert_null(resource_of_type("script"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_says_where_it_stands_in_the_words_of_the_contract),
        cmocka_unit_test(every_document_has_its_id_revision_owner_and_times),
        cmocka_unit_test(what_is_not_there_yet_is_empty_or_null),
        cmocka_unit_test(a_dataset_shows_both_spellings_of_its_test_data),
        cmocka_unit_test(every_type_has_its_resource),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
