#include "../test.h"

#include "worker/database.h"
#include "worker/labels.h"

/* Worked by hand from: training when n_training * test_share <= n_test * training_share. */
static void images_of_a_label_keep_their_share_on_both_sides(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double training, test;
        const char *sides; /* T training, t test */
    } rows[] = {
        {"fractions", 0.7, 0.3, "TtTTtTTtTTTtTTtTTtTT"},
        {"percentages mean the same", 70, 30, "TtTTtTTtTTTtTTtTTtTT"},
        {"equal shares", 0.5, 0.5, "TtTtTtTt"},
        {"shares that do not fill up", 1, 3, "TtttTtttTttt"},
        {"a half each, in percent", 50, 50, "TtTtTt"},
        {"nothing to test", 1, 0, "TTTT"},
        {"four fifths", 0.8, 0.2, "TtTTTTtTTTTtTTT"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct label label = {0};
        for (size_t k = 0; rows[i].sides[k]; k++) {
            int side = labels_side(&label, rows[i].training, rows[i].test);
            if (side != (rows[i].sides[k] == 'T' ? SIDE_TRAINING : SIDE_TEST))
                fail_msg("%s: image %zu", rows[i].name, k);
            label.n_images[side]++;
        }
    }
}

static void labels_are_numbered_by_first_appearance(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int label;
    } rows[] = {
        {"B/1.png", 0}, {"A/1.png", 1}, {"B/2.png", 0}, {"x/C/1.png", 2}, {"A/2.png", 1}, {"10/1.png", 3},
    };
    struct error err = {0};
    struct labels l;
    labels_init(&l);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int label;
        assert_ok(labels_of_path(&l, rows[i].path, &label, &err));
        assert_int_equal(label, rows[i].label);
    }
    labels_begin_archive(&l);
    int label;
    assert_ok(
        labels_of_path(&l, "test/A/1.png", &label, &err)); /* the same label elsewhere in another archive */
    assert_int_equal(label, 1);
    assert_int_equal(labels_of_path(&l, "train/A/1.png", &label, &err), INVALID);
    assert_string_equal(err.message,
                        "folders 'test/A' and 'train/A' would both be the label 'A': give each its own name");
    assert_int_equal(labels_of_path(&l, "x.png", &label, &err), INVALID);
    assert_non_null(strstr(err.message, "one folder a label"));
    CLEANUP(json_decrefp) json_t *names = labels_json(&l);
    CLEANUP(freep) char *text = json_dumps(names, JSON_COMPACT);
    assert_string_equal(text, "[\"B\",\"A\",\"C\",\"10\"]");
    labels_release(&l);
}

static void a_name_that_is_no_utf8_is_a_label_all_the_same(void **state)
{
    (void)state;
    struct error err = {0};
    struct labels l;
    labels_init(&l);
    int a, b;
    assert_ok(labels_of_path(&l, "\xff/1.png", &a, &err));
    assert_ok(labels_of_path(&l, "\xff/2.png", &b, &err));
    assert_int_equal(a, b);
    CLEANUP(json_decrefp) json_t *names = labels_json(&l);
    assert_string_equal(json_string_value(json_array_get(names, 0)), "label 0");
    labels_release(&l);
}

static void a_database_is_found_by_its_files(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(database_release) struct database d = {0};
    assert_null(database_kind("a/LOG"));
    assert_null(database_kind("a/my-data.mdb"));
    assert_ok(database_note(&d, "a/README", &err));
    assert_null(d.folder);
    assert_ok(database_note(&d, "a/b/data.mdb", &err));
    assert_string_equal(d.folder, "a/b");
    assert_string_equal(d.kind, "LMDB");
    assert_int_equal(database_note(&d, "CURRENT", &err), INVALID);
    database_release(&d);
    assert_ok(database_note(&d, "CURRENT", &err));
    assert_string_equal(d.folder, "");
    assert_string_equal(d.kind, "LevelDB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_of_a_label_keep_their_share_on_both_sides),
        cmocka_unit_test(labels_are_numbered_by_first_appearance),
        cmocka_unit_test(a_name_that_is_no_utf8_is_a_label_all_the_same),
        cmocka_unit_test(a_database_is_found_by_its_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
