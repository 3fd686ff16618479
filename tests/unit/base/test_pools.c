#include "../test.h"

#include <string.h>

#include "base/pools.h"
#include "base/size.h"

static void bytes_are_read_from_words(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes; /* 0: refused */
    } rows[] = {
        {"1", 1},
        {"1000", 1000},
        {"2K", 2048},
        {"512M", 536870912},
        {"16g", 17179869184},
        {"1T", 1LL << 40},
        {"0", 0},
        {"", 0},
        {"-1", 0},
        {"1X", 0},
        {"1KB", 0},
        {"1.5G", 0},
        {"9000000T", 0},
        {"G", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t bytes = 0;
        assert_int_equal(size_read(rows[i].text, &bytes), rows[i].bytes != 0);
        assert_int_equal(bytes, rows[i].bytes);
    }
}

static void bytes_are_told_in_words(void **state)
{
    (void)state;
    static const struct {
        int64_t bytes;
        const char *text;
    } rows[] = {
        {0, "0 bytes"},           {1023, "1023 bytes"}, {1024, "1 KiB"},
        {1536 * 1024, "1.5 MiB"}, {8LL << 30, "8 GiB"}, {5LL << 40, "5 TiB"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[SIZE_TEXT_MAX];
        assert_string_equal(size_text(rows[i].bytes, text), rows[i].text);
    }
}

static void a_pool_is_a_name_and_what_a_job_in_it_may_use(void **state)
{
    (void)state;
    CLEANUP(pools_release) struct pools p = {0};
    struct error err;
    assert_int_equal(pools_add_all(&p, "cpu  big:cpus=8,memory=16G gpu:gpus=2 cpu:cpus=2,memory=1G", &err),
                     OK);
    assert_int_equal(p.n, 3);
    assert_int_equal(pools_find(&p, "cpu")->cpus, 2);
    assert_int_equal(pools_find(&p, "cpu")->memory_bytes, 1 << 30);
    assert_int_equal(pools_find(&p, "big")->memory_bytes, 16LL << 30);
    assert_int_equal(pools_find(&p, "gpu")->gpus, 2);
    assert_null(pools_find(&p, "other"));
    char text[POOLS_TEXT_MAX];
    assert_string_equal(pools_text(&p, text),
                        "cpu (cpus 2, memory 1 GiB, gpus 0), big (cpus 8, memory 16 GiB, gpus 0), "
                        "gpu (cpus any, memory any, gpus 2)");
}

static void what_is_no_pool_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {"",         ":cpus=1",   "a b",          "a/b",       "x:",
                                       "x:cpus",   "x:cpus=",   "x:cpus=-1",    "x:cpus=1x", "x:memory=0",
                                       "x:disk=1", "x:cpus=1,", "x:cpus=200000"};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(pools_release) struct pools p = {0};
        struct error err = {0};
        assert_int_equal(pools_add(&p, rows[i], &err), INVALID);
        assert_non_null(strstr(err.message, "expected NAME"));
        assert_int_equal(p.n, 0);
    }
}

static void a_job_goes_to_the_smallest_pool_that_holds_it(void **state)
{
    (void)state;
    static const char pools[] = "any big:cpus=8,memory=16G small:cpus=1,memory=1G wide:cpus=8,memory=4G "
                                "gpu:cpus=4,gpus=1 gpus:gpus=4";
    static const struct {
        int cpus;
        int64_t memory_bytes;
        int gpus;
        const char *name;
    } rows[] = {
        {0, 0, 0, "small"},        {1, 1 << 30, 0, "small"}, {1, (1 << 30) + 1, 0, "wide"},
        {2, 0, 0, "wide"},         {8, 5LL << 30, 0, "big"}, {9, 0, 0, "any"},
        {0, 17LL << 30, 0, "any"}, {0, 0, 1, "gpu"},         {5, 0, 1, "gpus"},
        {0, 0, 4, "gpus"},         {0, 0, 5, NULL},
    };
    CLEANUP(pools_release) struct pools p = {0};
    struct error err;
    assert_int_equal(pools_add_all(&p, pools, &err), OK);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct pool_size *found = pools_fit(&p, rows[i].cpus, rows[i].memory_bytes, rows[i].gpus);
        if (rows[i].name)
            assert_string_equal(found->name, rows[i].name);
        else
            assert_null(found);
    }
}

static void a_pool_has_a_twin_for_bf16(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool is_twin;
    } rows[] = {{"cpu", false}, {"cpu-bf16", true}, {"-bf16", false}, {"bf16", false}, {"cpu-bf16x", false}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(pools_is_bf16_name(rows[i].name), rows[i].is_twin);
    CLEANUP(freep) char *twin = pools_bf16_name("big");
    assert_string_equal(twin, "big-bf16");
    /* The longest name that is taken has room for its twin's. */
    char name[POOL_NAME_MAX + 1] = "";
    struct error err;
    for (size_t n = 1; n <= POOL_NAME_MAX; n++) {
        CLEANUP(pools_release) struct pools p = {0};
        name[n - 1] = 'x';
        assert_int_equal(pools_add(&p, name, &err), n <= POOL_NAME_MAX - 6 ? OK : INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_read_from_words),
        cmocka_unit_test(bytes_are_told_in_words),
        cmocka_unit_test(a_pool_is_a_name_and_what_a_job_in_it_may_use),
        cmocka_unit_test(what_is_no_pool_is_refused),
        cmocka_unit_test(a_job_goes_to_the_smallest_pool_that_holds_it),
        cmocka_unit_test(a_pool_has_a_twin_for_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
