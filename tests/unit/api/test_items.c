#include "../test.h"

#include "api/items.h"

#define T0_MS    1700000000000LL
#define NS(ms)   ((ms)*1000000LL)
#define LEASE_MS 300000
#define LIFE_MS  1800000

struct place {
    char *folder;
    struct items *items;
};

static void place_open(struct place *p, int max_items, int64_t now_ms)
{
    struct error err = {0};
    const struct items_options options = {.bucket = "/b",
                                          .folder = p->folder,
                                          .max_items = max_items,
                                          .item_ms = LIFE_MS,
                                          .lease_ms = LEASE_MS};
    assert_ok(items_new(&options, now_ms, &p->items, &err));
}

static void place_init(struct place *p, int max_items)
{
    p->folder = test_folder();
    place_open(p, max_items, T0_MS);
}

static void place_release(struct place *p)
{
    items_free(p->items);
    dir_remove(p->folder, NULL);
    free(p->folder);
}

static enum status add(struct place *p, const char *id, int weight, int64_t at_ms, struct error *err)
{
    const struct new_item new = {.request_id = id,
                                 .url = "http://h/cat.png",
                                 .path = "/spool/cat.png",
                                 .value = "ack",
                                 .weight = weight};
    json_t *item = NULL;
    bool made;
    enum status status = items_add(p->items, &new, NS(at_ms), &item, &made, err);
    json_decref(item);
    return status;
}

static void assert_taken(struct place *p, int64_t at_ms, const char *id)
{
    CLEANUP(json_decrefp) json_t *item = items_take(p->items, at_ms);
    if (!id) {
        assert_null(item);
        return;
    }
    assert_non_null(item);
    assert_string_equal(json_get_string(item, "request_id", ""), id);
    assert_string_equal(json_get_string(item, "value", ""), "/spool/cat.png");
}

static enum status post(struct place *p, const char *id, int progress, int64_t at_ms, struct error *err)
{
    CLEANUP(json_decrefp)
    json_t *said = json_pack("{s:s, s:i, s:s}", "request_id", id, "progress", progress, "value", "said");
    json_t *item = NULL;
    enum status status = items_post(p->items, said, at_ms, &item, err);
    json_decref(item);
    return status;
}

static bool is_known(struct place *p, const char *id, int64_t at_ms)
{
    CLEANUP(json_decrefp) json_t *item = items_find(p->items, id, at_ms, NULL, NULL);
    return item != NULL;
}

static void a_key_is_the_weight_from_the_top_and_the_time_in_hex(void **state)
{
    (void)state;
    static const struct {
        int weight;
        int64_t ns;
        const char *key;
    } rows[] = {
        {100, 0x18E9E9B101EF0505, "/cats-request/99899000000000000000000018E9E9B101EF0505"},
        {99999, 1, "/cats-request/0000000000000000000000000000000000000001"},
        {0, 0, "/cats-request/9999900000000000000000000000000000000000"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(freep) char *key = item_key("/cats-request", rows[i].weight, rows[i].ns);
        assert_string_equal(key, rows[i].key);
    }
}

static void a_time_has_the_digits_that_it_needs(void **state)
{
    (void)state;
    static const struct {
        int64_t ns;
        const char *text;
    } rows[] = {
        {NS(1540133846980), "2018-10-21T14:57:26.98Z"},
        {NS(1540133846000), "2018-10-21T14:57:26Z"},
        {NS(1540133846000) + 5, "2018-10-21T14:57:26.000000005Z"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct place p;
        struct error err = {0};
        p.folder = test_folder();
        place_open(&p, 9, rows[i].ns / 1000000);
        const struct new_item new = {"r", "u", "p", "v", ITEM_WEIGHT};
        json_t *item;
        bool made;
        assert_ok(items_add(p.items, &new, rows[i].ns, &item, &made, &err));
        assert_string_equal(json_get_string(item, "created_at", ""), rows[i].text);
        json_decref(item);
        place_release(&p);
    }
}

static void the_heaviest_is_next_then_the_oldest_also_within_a_nanosecond(void **state)
{
    (void)state;
    struct place p;
    struct error err = {0};
    place_init(&p, 9);
    assert_ok(add(&p, "a", 100, T0_MS, &err));
    assert_ok(add(&p, "b", 100, T0_MS, &err));
    assert_ok(add(&p, "light", 99, T0_MS, &err));
    assert_ok(add(&p, "heavy", 101, T0_MS + 1, &err));
    static const char *const order[] = {"heavy", "a", "b", "light", NULL};
    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        assert_taken(&p, T0_MS + 2, order[i]);
    place_release(&p);
}

static void a_silent_lease_lapses_and_each_post_renews_it(void **state)
{
    (void)state;
    struct place p;
    struct error err = {0};
    place_init(&p, 9);
    assert_ok(add(&p, "a", 100, T0_MS, &err));
    assert_true(items_next_lapse(p.items) == INT64_MAX);
    assert_taken(&p, T0_MS, "a");
    assert_int_equal(items_next_lapse(p.items), T0_MS + LEASE_MS);
    assert_taken(&p, T0_MS + LEASE_MS - 1, NULL);
    assert_ok(post(&p, "a", 10, T0_MS + LEASE_MS - 1, &err));
    assert_int_equal(items_next_lapse(p.items), T0_MS + 2 * LEASE_MS - 1);
    assert_taken(&p, T0_MS + 2 * LEASE_MS - 2, NULL);
    assert_taken(&p, T0_MS + 2 * LEASE_MS - 1, "a");
    assert_ok(post(&p, "a", 100, T0_MS + 3 * LEASE_MS, &err));
    assert_true(items_next_lapse(p.items) == INT64_MAX);
    assert_taken(&p, T0_MS + 5 * LEASE_MS, NULL);
    place_release(&p);
}

static void an_item_is_gone_after_its_life_and_its_file_too(void **state)
{
    (void)state;
    struct place p;
    struct error err = {0};
    place_init(&p, 9);
    assert_ok(add(&p, "a", 100, T0_MS, &err));
    assert_ok(add(&p, "b", 100, T0_MS + 1, &err));
    assert_true(is_known(&p, "a", T0_MS + LIFE_MS - 1));
    assert_false(is_known(&p, "a", T0_MS + LIFE_MS));
    assert_int_equal(post(&p, "a", 100, T0_MS + LIFE_MS, &err), NOT_FOUND);
    items_free(p.items);
    place_open(&p, 9, T0_MS + 2);
    assert_false(is_known(&p, "a", T0_MS + 2));
    assert_true(is_known(&p, "b", T0_MS + 2));
    place_release(&p);
}

static void assert_forgotten(struct place *p, const char *url, size_t n)
{
    CLEANUP(json_decrefp) json_t *ids = items_forget(p->items, "forg", url, T0_MS);
    assert_int_equal(json_array_size(ids), n);
    if (n)
        assert_string_equal(json_string_value(json_array_get(ids, 0)), "forgotten");
}

static void a_restart_keeps_what_waits_and_what_is_done(void **state)
{
    (void)state;
    struct place p;
    struct error err = {0};
    place_init(&p, 9);
    assert_ok(add(&p, "done", 200, T0_MS, &err));
    assert_ok(add(&p, "leased", 150, T0_MS, &err));
    assert_ok(add(&p, "forgotten", 100, T0_MS, &err));
    assert_taken(&p, T0_MS, "done");
    assert_taken(&p, T0_MS, "leased");
    assert_ok(post(&p, "done", 100, T0_MS, &err));
    assert_forgotten(&p, "http://h/other.png", 0);
    assert_true(is_known(&p, "forgotten", T0_MS));
    assert_forgotten(&p, "http://h/cat.png", 1);
    items_free(p.items);
    CLEANUP(freep) char *damaged = path_join(p.folder, "damaged.json");
    assert_ok(file_write(damaged, "{", 1, 0600, &err));
    place_open(&p, 9, T0_MS + 1);
    assert_false(is_known(&p, "forgotten", T0_MS + 1));
    CLEANUP(json_decrefp) json_t *done = items_find(p.items, "done", T0_MS + 1, NULL, NULL);
    assert_string_equal(json_get_string(done, "value", ""), "said");
    assert_taken(&p, T0_MS + 1, "leased");
    assert_taken(&p, T0_MS + 1, NULL);
    place_release(&p);
}

static void a_full_queue_refuses_more_but_finds_what_is_there(void **state)
{
    (void)state;
    struct place p;
    struct error err = {0};
    place_init(&p, 2);
    assert_ok(add(&p, "a", 100, T0_MS, &err));
    assert_ok(add(&p, "b", 100, T0_MS, &err));
    assert_int_equal(add(&p, "c", 100, T0_MS, &err), UNAVAILABLE);
    assert_ok(add(&p, "a", 100, T0_MS, &err));
    assert_ok(add(&p, "c", 100, T0_MS + LIFE_MS, &err));
    place_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_the_weight_from_the_top_and_the_time_in_hex),
        cmocka_unit_test(a_time_has_the_digits_that_it_needs),
        cmocka_unit_test(the_heaviest_is_next_then_the_oldest_also_within_a_nanosecond),
        cmocka_unit_test(a_silent_lease_lapses_and_each_post_renews_it),
        cmocka_unit_test(an_item_is_gone_after_its_life_and_its_file_too),
        cmocka_unit_test(a_restart_keeps_what_waits_and_what_is_done),
        cmocka_unit_test(a_full_queue_refuses_more_but_finds_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
