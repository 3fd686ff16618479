#include <pthread.h>

#include "store_test.h"

#define ALICE "user:alice"
#define BOB   "user:bob"

static enum status make(struct store *s, const char *owner, int n, const char *type, const char *const *refs,
                        int n_refs, struct error *err)
{
    CLEANUP(json_decrefp) json_t *body = json_pack("{s:i}", "n", n);
    struct new_document d = {.id = id_of(n), .type = type, .body = body, .refs = refs, .n_refs = n_refs};
    return documents_create(s, owner, &d, 1, NULL, T0 + n, NULL, err);
}

static void a_document_comes_back_as_it_was_made(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    assert_ok(make(s, ALICE, 7, "solver", NULL, 0, &err));
    CLEANUP(document_release) struct document d = {0};
    assert_ok(document_get(s, ALICE, id_of(7), &d, &err));
    assert_string_equal(d.id, id_of(7));
    assert_string_equal(d.owner, ALICE);
    assert_string_equal(d.type, "solver");
    assert_int_equal(d.rev, 1);
    assert_int_equal(d.seq, 1);
    assert_int_equal(d.state, STATE_NONE);
    assert_int_equal(d.created_ms, T0 + 7);
    assert_int_equal(json_get_int(d.body, "n", 0), 7);
}

static void another_owners_document_is_not_there(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    struct document d;
    CLEANUP(json_decrefp) json_t *body = json_object();
    assert_ok(make(s, ALICE, 1, "solver", NULL, 0, &err));
    assert_int_equal(document_get(s, BOB, id_of(1), &d, &err), NOT_FOUND);
    assert_int_equal(document_update(s, BOB, id_of(1), 0, body, T0, &d, &err), NOT_FOUND);
    assert_int_equal(document_delete(s, BOB, id_of(1), 0, T0, NULL, NULL, &err), NOT_FOUND);
    assert_int_equal(document_get(s, NULL, id_of(2), &d, &err), NOT_FOUND);
    const char *refs[] = {id_of(1)};
    assert_int_equal(make(s, BOB, 3, "job", refs, 1, &err), NOT_FOUND);
    assert_int_equal(make(s, BOB, 1, "solver", NULL, 0, &err), CONFLICT);
    assert_int_equal(make(s, ALICE, 1, "dataset", NULL, 0, &err), CONFLICT);
}

static void revisions_are_n_and_half_a_sha256(void **state)
{
    (void)state;
    struct error err;
    char rev[REV_MAX];
    int64_t n = 0;
    /* printf '%s' 'abc 3' | sha256sum | cut -c1-32 */
    assert_string_equal(document_rev("abc", 3, rev), "3-e9839d0c187cf0899100e8c2b8450a82");
    assert_ok(document_rev_read("abc", rev, &n, &err));
    assert_int_equal(n, 3);
    static const char *const bad[] = {
        "", "3", "3-", "0-00", "x", "2-e9839d0c187cf0899100e8c2b8450a82", "99999999999999999999-00", "-1-00"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(document_rev_read("abc", bad[i], &n, &err), INVALID);
    assert_int_equal(document_rev_read("abd", rev, &n, &err), INVALID);
}

static void an_update_with_a_stale_revision_is_refused(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    assert_ok(make(s, ALICE, 1, "solver", NULL, 0, &err));
    CLEANUP(json_decrefp) json_t *body = json_pack("{s:s}", "name", "x");
    CLEANUP(document_release) struct document d = {0};
    CLEANUP(document_release) struct document e = {0};
    assert_ok(document_update(s, ALICE, id_of(1), 1, body, T0 + 9, &d, &err));
    assert_int_equal(d.rev, 2);
    assert_int_equal(d.seq, 2);
    assert_int_equal(document_update(s, ALICE, id_of(1), 1, body, T0 + 9, &e, &err), CONFLICT);
    assert_ok(document_update(s, ALICE, id_of(1), 0, body, T0 + 10, &e, &err));
    assert_int_equal(e.rev, 3);
    assert_string_equal(json_get_string(e.body, "name", ""), "x");
}

static void a_document_in_use_or_with_a_running_job_is_not_deleted(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    assert_ok(make(s, ALICE, 1, "dataset", NULL, 0, &err));
    const char *refs[] = {id_of(1)};
    assert_ok(make(s, ALICE, 2, "solver", refs, 1, &err));
    assert_ok(make(s, ALICE, 3, "solver", refs, 1, &err));
    CLEANUP(json_decrefp) json_t *users = json_array();
    assert_int_equal(document_delete(s, ALICE, id_of(1), 0, T0, users, NULL, &err), CONFLICT);
    assert_int_equal(json_array_size(users), 2);
    assert_string_equal(json_get_string(json_array_get(users, 0), "id", ""), id_of(2));
    assert_string_equal(json_get_string(json_array_get(users, 0), "type", ""), "solver");
    assert_ok(document_delete(s, ALICE, id_of(2), 0, T0, NULL, NULL, &err));
    assert_ok(document_delete(s, ALICE, id_of(3), 1, T0, NULL, NULL, &err));
    CLEANUP(document_release) struct document tombstone = {0};
    assert_ok(document_delete(s, ALICE, id_of(1), 0, T0, NULL, &tombstone, &err));
    assert_int_equal(tombstone.state, STATE_DELETED);
    assert_int_equal(tombstone.rev, 2);
    assert_int_equal(document_delete(s, ALICE, id_of(1), 0, T0, NULL, NULL, &err), NOT_FOUND);
    assert_int_equal(make(s, ALICE, 1, "dataset", NULL, 0, &err), CONFLICT);

    enqueue(s, ALICE, 4, (struct enqueue){0});
    assert_int_equal(document_delete(s, ALICE, id_of(4), 0, T0, NULL, NULL, &err), CONFLICT);
    enum document_state now;
    assert_ok(queue_cancel(s, ALICE, id_of(4), "alice", T0, &now, &err));
    assert_ok(document_delete(s, ALICE, id_of(4), 0, T0, NULL, NULL, &err));
}

static void several_documents_are_made_together_or_not_at_all(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    int64_t seq = 0;
    CLEANUP(json_decrefp) json_t *body = json_object();
    const char *second_refs[] = {id_of(1)}, *third_refs[] = {id_of(9)};
    struct new_document d[] = {
        {.id = id_of(1), .type = "datafile", .body = body},
        {.id = id_of(2), .type = "dataset", .body = body, .refs = second_refs, .n_refs = 1},
        {.id = id_of(3), .type = "solver", .body = body, .refs = third_refs, .n_refs = 1},
    };
    assert_int_equal(documents_create(s, ALICE, d, 3, NULL, T0, NULL, &err), NOT_FOUND);
    assert_ok(feed_seq(s, ALICE, &seq, &err));
    assert_int_equal(seq, 0);
    CLEANUP(document_list_release) struct document_list made = {0};
    assert_ok(documents_create(s, ALICE, d, 2, NULL, T0, &made, &err));
    assert_int_equal(made.n, 2);
    assert_int_equal(made.documents[1].seq, 2);
}

struct list_case {
    const char *what, *owner, *type;
    unsigned states;
    int after;
    bool newest_first;
    int limit;
    int expected[5];
    bool more;
};

/* Solvers 1, 2, 5 and dataset 3 are alice's (2 deleted), solver 4 is bob's; 6 is alice's ready job. */
static const struct list_case list_cases[] = {
    {"all of an owner", ALICE, NULL, 0, 0, false, 0, {1, 3, 5, 6}, false},
    {"by type", ALICE, "solver", 0, 0, false, 0, {1, 5}, false},
    {"newest first", ALICE, NULL, 0, 0, true, 0, {6, 5, 3, 1}, false},
    {"by type, newest first", ALICE, "solver", 0, 5, true, 0, {1}, false},
    {"a page", ALICE, NULL, 0, 0, false, 2, {1, 3}, true},
    {"the next page", ALICE, NULL, 0, 3, false, 2, {5, 6}, false},
    {"all owners", NULL, "solver", 0, 0, false, 0, {1, 4, 5}, false},
    {"by state", ALICE, NULL, STATE_BIT(STATE_READY) | STATE_BIT(STATE_WAITING), 0, false, 0, {6}, false},
    {"nobody's", "user:carol", NULL, 0, 0, false, 0, {0}, false},
};

static void lists_are_filtered_and_paged(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    assert_ok(make(s, ALICE, 1, "solver", NULL, 0, &err));
    assert_ok(make(s, ALICE, 2, "solver", NULL, 0, &err));
    assert_ok(make(s, ALICE, 3, "dataset", NULL, 0, &err));
    assert_ok(make(s, BOB, 4, "solver", NULL, 0, &err));
    assert_ok(make(s, ALICE, 5, "solver", NULL, 0, &err));
    enqueue(s, ALICE, 6, (struct enqueue){0});
    assert_ok(document_delete(s, ALICE, id_of(2), 0, T0, NULL, NULL, &err));
    for (size_t i = 0; i < ARRAY_SIZE(list_cases); i++) {
        const struct list_case *c = &list_cases[i];
        struct document_filter f = {.owner = c->owner,
                                    .type = c->type,
                                    .states = c->states,
                                    .after = c->after ? id_of(c->after) : NULL,
                                    .newest_first = c->newest_first,
                                    .limit = c->limit};
        CLEANUP(document_list_release) struct document_list list = {0};
        assert_ok(documents_list(s, &f, &list, &err));
        int expected = 0;
        while (expected < 5 && c->expected[expected])
            expected++;
        if (list.n != expected || list.more != c->more)
            fail_msg("%s: %d documents, more %d", c->what, list.n, list.more);
        for (int k = 0; k < expected; k++)
            if (strcmp(list.documents[k].id, id_of(c->expected[k])) != 0)
                fail_msg("%s: document %d is %s", c->what, k, list.documents[k].id);
    }
}

static void the_feed_has_each_document_once_at_its_latest_change(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    assert_ok(make(s, ALICE, 1, "solver", NULL, 0, &err));
    assert_ok(make(s, ALICE, 2, "solver", NULL, 0, &err));
    assert_ok(make(s, BOB, 3, "solver", NULL, 0, &err));
    assert_ok(document_delete(s, ALICE, id_of(1), 0, T0, NULL, NULL, &err));
    CLEANUP(document_list_release) struct document_list all = {0};
    CLEANUP(document_list_release) struct document_list first = {0};
    CLEANUP(document_list_release) struct document_list rest = {0};
    assert_ok(feed_changes(s, ALICE, 0, 0, &all, &err));
    assert_int_equal(all.n, 2);
    assert_string_equal(all.documents[0].id, id_of(2));
    assert_int_equal(all.documents[0].seq, 2);
    assert_string_equal(all.documents[1].id, id_of(1));
    assert_int_equal(all.documents[1].seq, 3);
    assert_int_equal(all.documents[1].state, STATE_DELETED);
    assert_ok(feed_changes(s, ALICE, 0, 1, &first, &err));
    assert_int_equal(first.n, 1);
    assert_true(first.more);
    assert_ok(feed_changes(s, ALICE, 3, 0, &rest, &err));
    assert_int_equal(rest.n, 0);
}

static void states_have_the_contracts_words_and_our_own(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        unsigned states;
    } cases[] = {
        {"pending", STATE_BIT(STATE_WAITING) | STATE_BIT(STATE_READY)},
        {"waiting", STATE_BIT(STATE_WAITING)},
        {"ready", STATE_BIT(STATE_READY)},
        {"processing", STATE_BIT(STATE_PROCESSING)},
        {"leased", STATE_BIT(STATE_PROCESSING)},
        {"finished_successfully", STATE_BIT(STATE_FINISHED)},
        {"finished", STATE_BIT(STATE_FINISHED)},
        {"failed", STATE_BIT(STATE_FAILED) | STATE_BIT(STATE_CANCELLED)},
        {"cancelled", STATE_BIT(STATE_CANCELLED)},
        {"", 0},
        {"done", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(document_states_of(cases[i].word), cases[i].states);
    assert_string_equal(document_state_word(STATE_CANCELLED), "failed");
}

/* -- many threads -- */

#define WRITERS 8
#define EACH    60

struct writer {
    struct store *store;
    int index;
    pthread_t thread;
    enum status status;
};

static void *write_many(void *opaque)
{
    struct writer *w = opaque;
    struct error err;
    for (int i = 0; i < EACH && w->status == OK; i++) {
        int n = 1 + w->index * EACH + i;
        w->status = i % 2 ? make(w->store, ALICE, n, "solver", NULL, 0, &err)
                          : try_enqueue(w->store, ALICE, n, (struct enqueue){0}, T0, &err);
        struct document d = {0};
        CLEANUP(json_decrefp) json_t *body = json_object();
        if (w->status == OK)
            w->status = document_update(w->store, ALICE, id_of(n), 1, body, T0, &d, &err);
        document_release(&d);
    }
    return NULL;
}

/* Eight writers make two changes a document; a reader pages through meanwhile and must miss none. */
static void the_feed_has_no_gaps_under_eight_writers(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    struct writer writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.store = s, .index = i};
        pthread_create(&writers[i].thread, NULL, write_many, &writers[i]);
    }
    bool *seen = xcalloc(WRITERS * EACH + 1, sizeof(*seen));
    int64_t seq = 0;
    while (seq < 2 * WRITERS * EACH) {
        CLEANUP(document_list_release) struct document_list page = {0};
        assert_ok(feed_changes(s, ALICE, seq, 7, &page, &err));
        for (int i = 0; i < page.n; i++) {
            assert_true(page.documents[i].seq > seq);
            seq = page.documents[i].seq;
            seen[strtol(page.documents[i].id, NULL, 16)] |= page.documents[i].rev == 2;
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        assert_int_equal(writers[i].status, OK);
    }
    for (int n = 1; n <= WRITERS * EACH; n++)
        if (!seen[n])
            fail_msg("the reader missed document %d", n);
    free(seen);
    assert_ok(feed_seq(s, ALICE, &seq, &err));
    assert_int_equal(seq, 2 * WRITERS * EACH);
}

static void a_database_url_that_we_do_not_serve_is_refused(void **state)
{
    (void)state;
    struct error err;
    struct store *s = NULL;
    struct store_options options = {.blobs = "/nonexistent", .now_ms = T0, .no_timer = true};
    assert_int_equal(store_open("mysql://u:secret@h/db", &options, &s, &err), UNSUPPORTED);
    assert_non_null(strstr(err.message, "mysql"));
    assert_null(strstr(err.message, "secret"));
    assert_int_equal(store_open("postgres://u:secret@[h/db", &options, &s, &err), INVALID);
    assert_null(strstr(err.message, "secret"));
    assert_int_equal(store_open("postgres://u:secret@127.0.0.1:1/db", &options, &s, &err), UNAVAILABLE);
    assert_null(strstr(err.message, "secret"));
    assert_int_equal(store_open("sqlite:", &options, &s, &err), INVALID);
    assert_int_equal(store_open("/nonexistent/et.db", &options, &s, &err), FAILED);
    assert_null(s);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_document_comes_back_as_it_was_made),
        T(another_owners_document_is_not_there),
        cmocka_unit_test(revisions_are_n_and_half_a_sha256),
        T(an_update_with_a_stale_revision_is_refused),
        T(a_document_in_use_or_with_a_running_job_is_not_deleted),
        T(several_documents_are_made_together_or_not_at_all),
        T(lists_are_filtered_and_paged),
        T(the_feed_has_each_document_once_at_its_latest_change),
        cmocka_unit_test(states_have_the_contracts_words_and_our_own),
        T(the_feed_has_no_gaps_under_eight_writers),
        cmocka_unit_test(a_database_url_that_we_do_not_serve_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
