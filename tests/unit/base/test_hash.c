#include "../test.h"

#include "base/hash.h"

/* Digests of "abc": FIPS 180-4, examples. */
static void digests_agree_with_the_standard(void **state)
{
    (void)state;
    char hex[HASH_HEX_MAX];
    hash_bytes(HASH_SHA1, "abc", 3, hex);
    assert_string_equal(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
    hash_bytes(HASH_SHA256, "abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void ids_are_valid_and_differ(void **state)
{
    (void)state;
    char a[ID_MAX], b[ID_MAX];
    id_new(a);
    id_new(b);
    assert_true(id_is_valid(a));
    assert_string_not_equal(a, b);
    assert_false(id_is_valid("../../etc"));
    assert_false(id_is_valid(""));
    a[3] = 'G';
    assert_false(id_is_valid(a));
}

static void ids_of_a_process_sort_by_age_within_a_millisecond_too(void **state)
{
    (void)state;
    char before[ID_MAX], id[ID_MAX];
    id_new(before);
    for (int i = 0; i < 100000; i++) { /* hundreds a millisecond */
        id_new(id);
        assert_true(id_is_valid(id));
        assert_true(strcmp(before, id) < 0);
        memcpy(before, id, ID_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_agree_with_the_standard),
        cmocka_unit_test(ids_are_valid_and_differ),
        cmocka_unit_test(ids_of_a_process_sort_by_age_within_a_millisecond_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
