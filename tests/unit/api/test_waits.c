#include "../test.h"

#include <semaphore.h>

#include "api/waits.h"
#include "base/clock.h"

struct one {
    struct waiter waiter;
    sem_t woken;
    bool gone;
};

static void on_wake(struct waiter *w)
{
    sem_post(&((struct one *)w)->woken);
}

static bool on_ask(struct waiter *w)
{
    return ((struct one *)w)->gone;
}

static void one_init(struct one *o, const char *topic, int64_t deadline_ms)
{
    memset(o, 0, sizeof(*o));
    sem_init(&o->woken, 0, 0);
    o->waiter.wake = on_wake;
    o->waiter.is_gone = on_ask;
    o->waiter.deadline_ms = deadline_ms;
    waiter_topic_add(&o->waiter, topic);
}

static bool is_woken(struct one *o)
{
    return sem_trywait(&o->woken) == 0;
}

#define FAR (clock_monotonic_ms() + 3600000)

static void a_stir_wakes_those_of_its_topic_once(void **state)
{
    (void)state;
    struct error err = {0};
    struct waits *w;
    struct one a, b, c;
    assert_ok(waits_new(&w, &err));
    one_init(&a, "job:1", FAR);
    one_init(&b, "job:2", FAR);
    waiter_topic_add(&b.waiter, "job:1");
    one_init(&c, "job:3", FAR);
    uint64_t stamp = waits_stamp(w);
    assert_true(waits_add(w, &a.waiter, stamp));
    assert_true(waits_add(w, &b.waiter, stamp));
    assert_true(waits_add(w, &c.waiter, stamp));
    waits_stir(w, "job:1");
    assert_true(is_woken(&a));
    assert_true(is_woken(&b));
    assert_false(is_woken(&c));
    waits_stir(w, "job:2");
    assert_false(is_woken(&b));
    waits_end(w);
    assert_true(is_woken(&c));
    assert_false(waits_add(w, &a.waiter, waits_stamp(w)));
    waits_free(w);
}

static void a_stir_for_one_wakes_one_at_a_time(void **state)
{
    (void)state;
    struct error err = {0};
    struct waits *w;
    struct one workers[3], other;
    assert_ok(waits_new(&w, &err));
    uint64_t stamp = waits_stamp(w);
    one_init(&other, "pool:gpu", FAR);
    assert_true(waits_add(w, &other.waiter, stamp));
    for (int i = 0; i < 3; i++) {
        one_init(&workers[i], "pool:cpu", FAR);
        assert_true(waits_add(w, &workers[i].waiter, stamp));
    }
    for (int n = 1; n <= 3; n++) {
        waits_stir_one(w, "pool:cpu");
        int woken = 0;
        for (int i = 0; i < 3; i++)
            woken += is_woken(&workers[i]);
        assert_int_equal(woken, 1);
    }
    assert_false(is_woken(&other));
    waits_end(w);
    waits_free(w);
}

static void a_stir_between_looking_and_waiting_is_not_missed(void **state)
{
    (void)state;
    struct error err = {0};
    struct waits *w;
    struct one a;
    assert_ok(waits_new(&w, &err));
    uint64_t stamp = waits_stamp(w);
    waits_stir(w, "feed:user:foo");
    one_init(&a, "feed:user:foo", FAR);
    assert_false(waits_add(w, &a.waiter, stamp));
    waiter_topic_add(&a.waiter, "feed:user:foo");
    assert_true(waits_add(w, &a.waiter, waits_stamp(w)));
    waits_end(w);
    waits_free(w);
}

static void when_all_topics_stir_all_are_woken_and_none_between_looking_and_waiting_is_missed(void **state)
{
    (void)state;
    struct error err = {0};
    struct waits *w;
    struct one patient, late;
    assert_ok(waits_new(&w, &err));
    one_init(&patient, "job:1", FAR);
    patient.waiter.is_patient = true;
    one_init(&late, "job:2", FAR);
    uint64_t stamp = waits_stamp(w);
    assert_true(waits_add(w, &patient.waiter, stamp));
    waits_stir_all(w);
    assert_true(is_woken(&patient));
    assert_false(waits_add(w, &late.waiter, stamp));
    waits_end(w);
    waits_free(w);
}

static void a_deadline_a_look_and_a_gone_client_wake(void **state)
{
    (void)state;
    struct error err = {0};
    struct waits *w;
    struct one late, gone, looking;
    assert_ok(waits_new(&w, &err));
    one_init(&late, "a", clock_monotonic_ms() + 20);
    one_init(&gone, "b", FAR);
    gone.gone = true;
    one_init(&looking, "c", FAR);
    looking.waiter.is_patient = true;
    looking.waiter.look_ms = clock_monotonic_ms() + 20;
    assert_true(waits_add(w, &gone.waiter, waits_stamp(w)));
    assert_true(waits_add(w, &late.waiter, waits_stamp(w)));
    assert_true(waits_add(w, &looking.waiter, waits_stamp(w)));
    sem_wait(&late.woken);
    sem_wait(&looking.woken);
    assert_true(clock_monotonic_ms() >= looking.waiter.look_ms);
    assert_true(clock_monotonic_ms() >= late.waiter.deadline_ms);
    sem_wait(&gone.woken);
    waits_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stir_wakes_those_of_its_topic_once),
        cmocka_unit_test(a_stir_for_one_wakes_one_at_a_time),
        cmocka_unit_test(a_stir_between_looking_and_waiting_is_not_missed),
        cmocka_unit_test(when_all_topics_stir_all_are_woken_and_none_between_looking_and_waiting_is_missed),
        cmocka_unit_test(a_deadline_a_look_and_a_gone_client_wake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
