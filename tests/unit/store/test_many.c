/* Leases and ends that a transaction does together are those that come one after the other. */
#include "store/internal.h"
#include "store/limits.h"
#include "store_test.h"

#define MANY 24

struct leases {
    int n;
    struct lease_request requests[MANY];
    struct leasing leasing[MANY];
    struct job_list jobs[MANY];
    struct write_item items[MANY], *list[MANY];
    char ids[MANY][16], workers[MANY][16];
};

static enum status lease_all(struct tx *tx, void *opaque, struct error *err)
{
    struct leases *l = opaque;
    return lease_many(tx, l->list, (size_t)l->n, err);
}

/* Item i is worker i's, which asks for slots[i] jobs. */
static void lease_together(struct store *s, struct leases *l, int n, const char *const *pool,
                           const int *slots)
{
    struct error err;
    *l = (struct leases){.n = n};
    for (int i = 0; i < n; i++) {
        snprintf(l->ids[i], sizeof(l->ids[i]), "%.8s-%d", *pool, i);
        snprintf(l->workers[i], sizeof(l->workers[i]), "w-%02d", i);
        l->requests[i] = (struct lease_request){.request_id = l->ids[i],
                                                .worker = l->workers[i],
                                                .pools = pool,
                                                .n_pools = 1,
                                                .slots = slots[i],
                                                .lease_ms = LEASE_MS};
        l->leasing[i] = (struct leasing){.request = &l->requests[i], .now_ms = T0};
        l->items[i].args = &l->leasing[i];
        l->list[i] = &l->items[i];
    }
    assert_ok(store_write(s, lease_all, l, &err));
    for (int i = 0; i < n; i++)
        assert_ok(leasing_jobs(s, &l->leasing[i], &l->jobs[i], &err));
}

static void leases_release(struct leases *l)
{
    for (int i = 0; i < l->n; i++) {
        leasing_release(&l->leasing[i]);
        job_list_release(&l->jobs[i]);
    }
}

static unsigned next_random(unsigned *seed, unsigned below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

/* The same jobs twice, in two pools: what the second's batch gives is what the first gives one by one. */
static void leases_of_a_batch_are_those_of_one_after_the_other(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    const char *const owners[] = {"user:a", "user:b", "user:c", "user:d"};
    unsigned seed = 11;
    int id = 0;
    for (int k = 0; k < 40; k++) {
        char pools[2][16];
        const char *pool = pools[1];
        int n_owners = 1 + (int)next_random(&seed, 4), n_jobs = (int)next_random(&seed, 20), slots[MANY];
        int n = 1 + (int)next_random(&seed, MANY), first[2];
        snprintf(pools[0], sizeof(pools[0]), "one%d", k);
        snprintf(pools[1], sizeof(pools[1]), "all%d", k);
        int n_running = (int)next_random(&seed, 5);
        for (int p = 0; p < 2; p++) {
            unsigned jobs_seed = (unsigned)k;
            first[p] = id + 1;
            for (int i = 0; i < n_running; i++) {
                char request[32];
                snprintf(request, sizeof(request), "before-%s-%d", pools[p], i);
                enqueue(s, owners[i % 2], ++id, (struct enqueue){.pool = pools[p]});
                assert_int_equal(lease_from(s, pools[p], request, T0, NULL), id);
            }
            for (int i = 0; i < n_jobs; i++) {
                const char *owner = owners[next_random(&jobs_seed, (unsigned)n_owners)];
                int priority = (int)next_random(&jobs_seed, 3);
                enqueue(s, owner, ++id, (struct enqueue){.pool = pools[p], .priority = priority});
            }
        }
        for (int i = 0; i < n; i++)
            slots[i] = 1 + (int)next_random(&seed, 2) * (int)next_random(&seed, 3);
        struct leases all;
        lease_together(s, &all, n, &pool, slots);
        for (int i = 0; i < n; i++) {
            const struct job_list *got = &all.jobs[i];
            for (int j = 0; j < slots[i]; j++) {
                char request[16];
                snprintf(request, sizeof(request), "%d-%d-%d", k, i, j);
                int expected = lease_from(s, pools[0], request, T0, NULL);
                int is = j < got->n ? (int)strtol(got->jobs[j].id, NULL, 16) - first[1] + first[0] : 0;
                if (is != expected)
                    fail_msg("case %d: job %d of request %d is %d, not %d", k, j, i, is, expected);
            }
        }
        leases_release(&all);
    }
}

static void a_limit_holds_within_a_batch(void **state)
{
    struct fixture *f = *state;
    struct error err;
    const char *pool = "cpu";
    const int slots[] = {1, 2, 3};
    struct limits limits = {.running = 3};
    assert_ok(limits_set(f->store, "user:a", &limits, &err));
    for (int n = 1; n <= 6; n++)
        enqueue(f->store, "user:a", n, (struct enqueue){0});
    struct leases all;
    lease_together(f->store, &all, 3, &pool, slots);
    assert_int_equal(all.jobs[0].n, 1);
    assert_int_equal(all.jobs[1].n, 2);
    assert_int_equal(all.jobs[2].n, 0);
    assert_int_equal(ask(f, "SELECT running FROM lanes"), 3);
    leases_release(&all);
}

struct ends {
    int n;
    struct finish finish[4];
    struct attempt_end ends[4];
    struct write_item items[4], *list[4];
};

static enum status finish_all(struct tx *tx, void *opaque, struct error *err)
{
    struct ends *e = opaque;
    return finish_many(tx, e->list, (size_t)e->n, err);
}

static void ends_of_a_batch_are_each_their_own(void **state)
{
    struct fixture *f = *state;
    struct error err;
    for (int n = 1; n <= 4; n++)
        enqueue(f->store, "user:a", n, (struct enqueue){0});
    enqueue(f->store, "user:a", 5, (struct enqueue){.after = {1, 2}});
    enqueue(f->store, "user:a", 6, (struct enqueue){.after = {1}});
    for (int n = 1; n <= 4; n++)
        assert_int_equal(lease_one(f->store, T0, NULL), n);
    static const struct {
        int attempt;
        enum outcome outcome;
        enum status status;
    } rows[] = {{1, OUTCOME_DONE, OK},
                {1, OUTCOME_FAILED, OK},
                {7, OUTCOME_DONE, CONFLICT},
                {1, OUTCOME_RELEASED, OK}};
    struct ends e = {.n = 4};
    for (int i = 0; i < 4; i++) {
        e.finish[i] = (struct finish){.job = xstrdup(id_of(i + 1)),
                                      .attempt = rows[i].attempt,
                                      .outcome = rows[i].outcome,
                                      .reason = "so"};
        e.ends[i] = (struct attempt_end){.finish = &e.finish[i], .now_ms = T0 + 5};
        e.items[i].args = &e.ends[i];
        e.list[i] = &e.items[i];
    }
    assert_ok(store_write(f->store, finish_all, &e, &err));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(e.items[i].status, rows[i].status);
        attempt_end_release(&e.ends[i]);
        free((char *)(uintptr_t)e.finish[i].job);
    }
    assert_document(f->store, 1, STATE_FINISHED, "so");
    assert_document(f->store, 2, STATE_FAILED, "so");
    assert_document(f->store, 3, STATE_PROCESSING, "");
    assert_document(f->store, 4, STATE_READY, "");
    CLEANUP(freep) char *why = xasprintf("job '%s' failed: so", id_of(2));
    assert_document(f->store, 5, STATE_FAILED, why);
    assert_document(f->store, 6, STATE_READY, "");
    assert_int_equal(ask(f, "SELECT running FROM lanes"), 1);
    assert_int_equal(lease_one(f->store, T0 + 6, NULL), 4);
    assert_int_equal(lease_one(f->store, T0 + 6, NULL), 6);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(leases_of_a_batch_are_those_of_one_after_the_other),
        T(a_limit_holds_within_a_batch),
        T(ends_of_a_batch_are_each_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
