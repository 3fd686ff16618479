#include "../test.h"

#include <math.h>

#include "api/fields.h"

static const struct field part_fields[] = {
    {"datafile-id", FIELD_ID, REQUIRED, "Images to take.", .of = "datafile"},
    {"split-percentage", FIELD_NUMBER, 0, "Share of them.", .max = 100, .otherwise = "0.5"},
    {NULL},
};
static const struct field word_rows[] = {{"*", FIELD_STRING, 0, "A label.", .max = 5}, {NULL}};
static const struct field number_rows[] = {{"*", FIELD_INT, 0, "A count."}, {NULL}};
static const struct field fields[] = {
    {"_id", FIELD_ID, READ_ONLY, "Id.", .also = "id", .of = "dataset"},
    {"name", FIELD_STRING, REQUIRED, "Name.", .min = 1, .max = 8},
    {"test", FIELD_OBJECT, 0, "To test with.", .also = "testing", .fields = part_fields},
    {"backend", FIELD_STRING, 0, "Database.", .words = "LEVELDB|LMDB", .otherwise = "\"LEVELDB\""},
    {"count", FIELD_INT, 0, "Count.", .min = 1, .max = 10},
    {"scale", FIELD_NUMERIC, 0, "Scale.", .max = 1000},
    {"color", FIELD_BOOL, 0, "Colour."},
    {"url", FIELD_URL, 0, "Where."},
    {"labels", FIELD_ARRAY, NULLABLE, "Labels.", .fields = word_rows, .max = 2},
    {"counts", FIELD_OBJECT, 0, "Counts by label.", .fields = number_rows},
    {"password", FIELD_STRING, WRITE_ONLY, "Password."},
    {NULL},
};

static json_t *read_json(const char *text)
{
    struct error err = {0};
    json_t *json = NULL;
    if (json_read(text, strlen(text), &json, &err) != OK)
        fail_msg("%s: %s", text, err.message);
    return json;
}

static void a_body_that_fits_is_cleaned(void **state)
{
    (void)state;
    static const struct {
        const char *what, *in, *out;
    } rows[] = {
        {"defaults", "{\"name\":\"a\"}", "{\"backend\":\"LEVELDB\",\"name\":\"a\"}"},
        {"the server's own fields are left out", "{\"name\":\"a\",\"_id\":5,\"id\":[]}",
         "{\"backend\":\"LEVELDB\",\"name\":\"a\"}"},
        {"the other spelling becomes the first",
         "{\"name\":\"a\",\"backend\":\"LMDB\",\"testing\":{\"datafile-id\":"
         "\"0123456789abcdef0123456789abcdef\"}}",
         "{\"backend\":\"LMDB\",\"name\":\"a\",\"test\":{\"datafile-id\":"
         "\"0123456789abcdef0123456789abcdef\","
         "\"split-percentage\":0.5}}"},
        {"a number where strings were sent", "{\"name\":\"a\",\"backend\":\"LMDB\",\"scale\":255}",
         "{\"backend\":\"LMDB\",\"name\":\"a\",\"scale\":\"255\"}"},
        {"a numeric string stays", "{\"name\":\"a\",\"backend\":\"LMDB\",\"scale\":\"0.5\"}",
         "{\"backend\":\"LMDB\",\"name\":\"a\",\"scale\":\"0.5\"}"},
        {"null where it is allowed", "{\"name\":\"a\",\"backend\":\"LMDB\",\"labels\":null}",
         "{\"backend\":\"LMDB\",\"labels\":null,\"name\":\"a\"}"},
        {"free keys", "{\"name\":\"a\",\"backend\":\"LMDB\",\"counts\":{\"x\":1,\"y\":2}}",
         "{\"backend\":\"LMDB\",\"counts\":{\"x\":1,\"y\":2},\"name\":\"a\"}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        CLEANUP(json_decrefp) json_t *in = read_json(rows[i].in);
        CLEANUP(json_decrefp) json_t *out = NULL;
        assert_ok(fields_decode(fields, NULL, in, &out, NULL, &err));
        CLEANUP(freep) char *text = json_text(out);
        assert_string_equal(text, rows[i].out);
    }
}

static void a_body_that_does_not_fit_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *in, *pointer, *message;
    } rows[] = {
        {"[]", "", "the body is an array of 0 elements: expected an object"},
        {"{}", "/name", "'name' is missing: expected a string of 1 to 8 bytes"},
        {"{\"name\":\"\"}", "/name", "'name' is the string '': expected a string of 1 to 8 bytes"},
        {"{\"name\":7}", "/name", "'name' is 7: expected a string of 1 to 8 bytes"},
        {"{\"nmae\":\"x\"}", "/nmae", "'nmae' is no field of this document; did you mean 'name'?"},
        {"{\"name\":\"a\",\"count\":11}", "/count", "'count' is 11: expected an integer from 1 to 10"},
        {"{\"name\":\"a\",\"count\":1.5}", "/count", "'count' is 1.5: expected an integer from 1 to 10"},
        {"{\"name\":\"a\",\"color\":\"true\"}", "/color",
         "'color' is the string 'true': expected true or false"},
        {"{\"name\":\"a\",\"scale\":\"big\"}", "/scale",
         "'scale' is the string 'big': expected a number from 0 to 1000, or a string that holds one"},
        {"{\"name\":\"a\",\"scale\":\"0x10\"}", "/scale",
         "'scale' is the string '0x10': expected a number from 0 to 1000, or a string that holds one"},
        {"{\"name\":\"a\",\"backend\":\"LEVEL\"}", "/backend",
         "'backend' is the string 'LEVEL': expected one of LEVELDB|LMDB"},
        {"{\"name\":\"a\",\"url\":\"file:///etc/passwd\"}", "/url",
         "'url' is the string 'file:///etc/passwd': expected a URL that begins with http:// or https://"},
        {"{\"name\":\"a\",\"labels\":[\"x\",5]}", "/labels/1",
         "'labels/1' is 5: expected a string of 0 to 5 bytes"},
        {"{\"name\":\"a\",\"labels\":[\"x\",\"y\",\"z\"]}", "/labels",
         "'labels' is an array of 3 elements: expected an array of 0 to 2 elements, or null"},
        {"{\"name\":\"a\",\"counts\":{\"a/b~\":\"1\"}}", "/counts/a~1b~0",
         "'counts/a~1b~0' is the string '1': expected an integer"},
        {"{\"name\":\"a\",\"test\":{\"datafile-id\":\"xyz\"}}", "/test/datafile-id",
         "'test/datafile-id' is the string 'xyz': expected the id of a datafile, 32 lower-case hex digits"},
        {"{\"name\":\"a\",\"test\":{}}", "/test/datafile-id",
         "'test/datafile-id' is missing: expected the id of a datafile, 32 lower-case hex digits"},
        {"{\"name\":\"a\",\"color\":null}", "/color", "'color' is null: expected true or false"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        char pointer[FIELD_POINTER_MAX] = "-";
        CLEANUP(json_decrefp) json_t *in = read_json(rows[i].in);
        json_t *out = NULL;
        assert_int_equal(fields_decode(fields, NULL, in, &out, pointer, &err), INVALID);
        assert_string_equal(err.message, rows[i].message);
        assert_string_equal(pointer, rows[i].pointer);
        assert_null(out);
    }
}

static void both_spellings_at_once_are_refused(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(json_decrefp)
    json_t *in = read_json("{\"name\":\"a\",\"test\":{\"datafile-id\":\"0123456789abcdef0123456789abcdef\"},"
                           "\"testing\":{\"datafile-id\":\"0123456789abcdef0123456789abcdef\"}}");
    json_t *out = NULL;
    assert_int_equal(fields_decode(fields, NULL, in, &out, NULL, &err), INVALID);
    assert_string_equal(err.message, "'testing' is given twice: as 'test' and as 'testing'");
}

static void a_patch_requires_nothing_and_fills_nothing(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(json_decrefp) json_t *in = read_json("{\"count\":3}");
    CLEANUP(json_decrefp) json_t *out = NULL;
    assert_ok(fields_decode(fields, &(struct fields_how){.partial = true}, in, &out, NULL, &err));
    CLEANUP(freep) char *text = json_text(out);
    assert_string_equal(text, "{\"count\":3}");
}

static void a_file_stands_for_its_field(void **state)
{
    (void)state;
    struct error err = {0};
    const struct fields_how how = {.elsewhere = (const char *const[]){"name", NULL}};
    CLEANUP(json_decrefp) json_t *in = read_json("{}"), *both = read_json("{\"name\":\"x\"}");
    CLEANUP(json_decrefp) json_t *out = NULL;
    assert_ok(fields_decode(fields, &how, in, &out, NULL, &err));
    json_t *none = NULL;
    assert_int_equal(fields_decode(fields, &how, both, &none, NULL, &err), INVALID);
}

static void an_answer_has_the_tables_fields_without_secrets(void **state)
{
    (void)state;
    CLEANUP(json_decrefp)
    json_t *in = read_json("{\"name\":\"a\",\"password\":\"p\",\"other\":1,"
                           "\"test\":{\"datafile-id\":\"d\",\"x\":1}}");
    CLEANUP(json_decrefp) json_t *out = fields_encode(fields, in);
    CLEANUP(freep) char *text = json_text(out);
    assert_string_equal(text, "{\"backend\":\"LEVELDB\",\"labels\":null,\"name\":\"a\","
                              "\"test\":{\"datafile-id\":\"d\",\"split-percentage\":0.5}}");
}

static void the_schema_says_what_a_client_may_send(void **state)
{
    (void)state;
    CLEANUP(json_decrefp) json_t *schema = fields_schema(part_fields, true);
    CLEANUP(freep) char *text = json_text(schema);
    assert_string_equal(
        text, "{\"properties\":{\"datafile-id\":{\"description\":\"Images to "
              "take.\",\"pattern\":\"^[0-9a-f]{32}$\","
              "\"type\":\"string\"},\"split-percentage\":{\"default\":0.5,\"description\":\"Share of them.\","
              "\"maximum\":100,\"minimum\":0,\"type\":\"number\"}},\"required\":[\"datafile-id\"],\"type\":"
              "\"object\"}");
    CLEANUP(json_decrefp) json_t *whole = fields_schema(fields, true);
    json_t *properties = json_object_get(whole, "properties");
    assert_null(json_object_get(properties, "_id"));
    assert_non_null(json_object_get(properties, "password"));
    assert_non_null(json_object_get(properties, "testing"));
    CLEANUP(json_decrefp) json_t *answer = fields_schema(fields, false);
    assert_non_null(json_object_get(json_object_get(answer, "properties"), "_id"));
    assert_null(json_object_get(json_object_get(answer, "properties"), "password"));
}

static void numbers_in_strings_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        double value;
    } rows[] = {{"255", 255}, {"-1.5e2", -150}, {"", NAN},    {" 1", NAN},   {"1 ", NAN},
                {"nan", NAN}, {"inf", NAN},     {"0x1", NAN}, {"1e999", NAN}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(json_decrefp) json_t *s = json_string(rows[i].s);
        double got = field_number(s);
        assert_true(isnan(rows[i].value) ? isnan(got) : got == rows[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_that_fits_is_cleaned),
        cmocka_unit_test(a_body_that_does_not_fit_is_refused_with_its_place),
        cmocka_unit_test(both_spellings_at_once_are_refused),
        cmocka_unit_test(a_patch_requires_nothing_and_fills_nothing),
        cmocka_unit_test(a_file_stands_for_its_field),
        cmocka_unit_test(an_answer_has_the_tables_fields_without_secrets),
        cmocka_unit_test(the_schema_says_what_a_client_may_send),
        cmocka_unit_test(numbers_in_strings_are_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
