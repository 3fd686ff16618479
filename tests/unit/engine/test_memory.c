#include "../test.h"
#include "engine/memory.h"

struct use {
    size_t bytes;
    int first, last;
};

static struct memory *allocated(const struct use *uses, int n, bool reuse)
{
    struct memory *m = memory_create();
    struct error err;
    for (int i = 0; i < n; i++) {
        int id = memory_add(m, uses[i].bytes);
        memory_use(m, id, uses[i].first);
        memory_use(m, id, uses[i].last);
    }
    assert_ok(memory_allocate(m, reuse, &err));
    return m;
}

static void a_chain_needs_room_for_two_neighbours_only(void **state)
{
    (void)state;
    const struct use chain[] = {{6400, 0, 1}, {6400, 1, 2}, {6400, 2, 3}, {6400, 3, 4}};
    struct memory *m = allocated(chain, 4, true);
    assert_int_equal(memory_total(m), 12800);
    memory_free(m);
    m = allocated(chain, 4, false);
    assert_int_equal(memory_total(m), 25600);
    memory_free(m);
}

static void buffers_that_live_together_never_overlap(void **state)
{
    (void)state;
    enum { N = 200 };
    struct use uses[N];
    uint32_t x = 12345;
    for (int i = 0; i < N; i++) {
        x = x * 1664525u + 1013904223u;
        uses[i].bytes = 1 + (x >> 8) % 5000;
        x = x * 1664525u + 1013904223u;
        uses[i].first = (int)((x >> 8) % 100);
        uses[i].last = uses[i].first + (int)((x >> 20) % 20);
    }
    struct memory *m = allocated(uses, N, true);
    for (int i = 0; i < N; i++) {
        char *a = memory_at(m, i);
        assert_int_equal((uintptr_t)a % 64, 0);
        for (int j = 0; j < i; j++) {
            char *b = memory_at(m, j);
            bool together = uses[i].first <= uses[j].last && uses[j].first <= uses[i].last;
            if (together)
                assert_true(a + uses[i].bytes <= b || b + uses[j].bytes <= a);
        }
    }
    memory_free(m);
}

static void what_is_fixed_shares_its_place_with_nobody(void **state)
{
    (void)state;
    struct memory *m = memory_create();
    struct error err;
    int fixed = memory_add(m, 64), other = memory_add(m, 64);
    memory_use(m, fixed, 0);
    memory_fix(m, fixed);
    memory_use(m, other, 9);
    assert_ok(memory_allocate(m, true, &err));
    assert_ptr_not_equal(memory_at(m, fixed), memory_at(m, other));
    memory_free(m);
}

static void a_buffer_takes_the_place_of_one_that_is_read_for_the_last_time(void **state)
{
    (void)state;
    struct memory *m = memory_create();
    struct error err;
    int a = memory_add(m, 64), b = memory_add(m, 64), c = memory_add(m, 64), big = memory_add(m, 128);
    memory_use(m, a, 0);
    memory_use(m, a, 1);
    memory_use(m, b, 1);
    memory_use(m, b, 5);
    memory_use(m, c, 3);
    memory_use(m, big, 1);
    assert_true(memory_merge(m, a, b, 1));
    assert_false(memory_merge(m, a, c, 3));
    assert_false(memory_merge(m, c, big, 3));
    assert_ok(memory_allocate(m, true, &err));
    assert_ptr_equal(memory_at(m, a), memory_at(m, b));
    assert_ptr_not_equal(memory_at(m, a), memory_at(m, c));
    memory_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_needs_room_for_two_neighbours_only),
        cmocka_unit_test(buffers_that_live_together_never_overlap),
        cmocka_unit_test(what_is_fixed_shares_its_place_with_nobody),
        cmocka_unit_test(a_buffer_takes_the_place_of_one_that_is_read_for_the_last_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
