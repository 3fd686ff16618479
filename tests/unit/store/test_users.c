#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store_test.h"

static void a_user_is_a_document_and_a_password(void **state)
{
    struct fixture *f = *state;
    struct error err;
    CLEANUP(json_decrefp) json_t *body = json_pack("{s:s}", "email", "foo@foo.net");
    CLEANUP(document_release) struct document d = {0};
    assert_ok(user_create(f->store, "foo", "bar", body, T0, &d, &err));
    assert_string_equal(d.id, "user:foo");
    assert_string_equal(d.owner, "user:foo");
    assert_string_equal(d.type, "user");
    assert_string_equal(json_get_string(d.body, "email", ""), "foo@foo.net");
    CLEANUP(freep) char *text = json_text(d.body);
    assert_null(strstr(text, "argon2"));
    assert_int_equal(user_create(f->store, "foo", "other", NULL, T0, NULL, &err), CONFLICT);
    assert_ok(user_verify(f->store, "foo", "bar", T0, &err));
    assert_int_equal(user_verify(f->store, "foo", "other", T0, &err), DENIED);
    CLEANUP(freep) char *wrong = xstrdup(err.message);
    assert_int_equal(user_verify(f->store, "nobody", "bar", T0, &err), DENIED);
    assert_string_equal(err.message, wrong);
    assert_int_equal(user_verify(f->store, "foo", "", T0, &err), DENIED);
    assert_int_equal(user_verify(f->store, "fo/o", "bar", T0, &err), DENIED);

    assert_ok(user_create(f->store, "service", NULL, NULL, T0, NULL, &err));
    assert_int_equal(user_verify(f->store, "service", "", T0, &err), DENIED);
    assert_int_equal(user_verify(f->store, "service", "AAAA", T0, &err), DENIED);
}

/* Processor time of a refused login, in nanoseconds. */
static int64_t refusal_cost(struct store *s, const char *name)
{
    struct error err;
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    assert_int_equal(user_verify(s, name, "wrong", T0, &err), DENIED);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    return (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
}

static void an_unknown_name_costs_what_a_wrong_password_costs(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    assert_ok(user_create(s, "foo", "bar", NULL, T0, NULL, &err));
    int64_t wrong = refusal_cost(s, "foo"), unknown = refusal_cost(s, "nobody");
    assert_in_range(unknown, wrong / 4, wrong * 4);
}

static void a_changed_password_takes_effect_at_once(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    assert_ok(user_create(s, "foo", "old", NULL, T0, NULL, &err));
    assert_ok(user_verify(s, "foo", "old", T0, &err));
    assert_ok(user_set_password(s, "foo", "new", T0, &err));
    assert_int_equal(user_verify(s, "foo", "old", T0, &err), DENIED);
    assert_ok(user_verify(s, "foo", "new", T0, &err));
    assert_ok(user_verify(s, "foo", "new", T0 + 59999, &err));
    assert_ok(user_verify(s, "foo", "new", T0 + 60001, &err));
    assert_int_equal(user_set_password(s, "nobody", "new", T0, &err), NOT_FOUND);
}

static void names_and_passwords_have_rules(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    char longest[66], too_long_password[PASSWORD_MAX_BYTES + 2];
    memset(longest, 'a', 65);
    longest[65] = '\0';
    memset(too_long_password, 'p', sizeof(too_long_password) - 1);
    too_long_password[sizeof(too_long_password) - 1] = '\0';
    const char *const bad[] = {"", "a b", "a/b", "a:b", "\xc3\xa9", "a\n", longest};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(user_create(s, bad[i], NULL, NULL, T0, NULL, &err), INVALID);
    assert_ok(user_create(s, longest + 1, NULL, NULL, T0, NULL, &err));
    assert_ok(user_create(s, "A.z-0_9", NULL, NULL, T0, NULL, &err));
    assert_int_equal(user_create(s, "b", "", NULL, T0, NULL, &err), INVALID);
    assert_int_equal(user_create(s, "b", too_long_password, NULL, T0, NULL, &err), INVALID);
}

static void tokens_are_told_once_verified_listed_and_revoked(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct token made, other, got;
    char secret[TOKEN_SECRET_MAX], second[TOKEN_SECRET_MAX];
    assert_ok(token_create(f->store, "user:foo", TOKEN_USER, "laptop", T0 + 1000, T0, &made, secret, &err));
    assert_ok(token_create(f->store, "user:foo", TOKEN_WORKER, "", 0, T0, &other, second, &err));
    assert_int_equal(strlen(secret), 46);
    assert_memory_equal(secret, "et_", 3);
    assert_int_equal(strspn(secret, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 46);
    assert_string_not_equal(secret, second);

    assert_ok(token_verify(f->store, secret, T0 + 999, &got, &err));
    assert_string_equal(got.id, made.id);
    assert_string_equal(got.owner, "user:foo");
    assert_string_equal(got.name, "laptop");
    assert_int_equal(got.scope, TOKEN_USER);
    assert_int_equal(token_verify(f->store, secret, T0 + 1000, &got, &err), DENIED);
    assert_int_equal(token_verify(f->store, "et_", T0, &got, &err), DENIED);
    assert_int_equal(token_verify(f->store, "", T0, &got, &err), DENIED);

    CLEANUP(token_list_release) struct token_list list = {0};
    assert_ok(token_list(f->store, "user:foo", &list, &err));
    assert_int_equal(list.n, 2);
    assert_int_equal(token_revoke(f->store, "user:bar", other.id, &err), NOT_FOUND);
    assert_ok(token_verify(f->store, second, T0, &got, &err));
    assert_ok(token_revoke(f->store, "user:foo", other.id, &err));
    assert_int_equal(token_verify(f->store, second, T0, &got, &err), DENIED);
    assert_int_equal(token_revoke(f->store, "user:foo", other.id, &err), NOT_FOUND);
    assert_int_equal(token_create(f->store, "user:foo", TOKEN_USER, "x", T0, T0, &got, secret, &err),
                     INVALID);
    for (int scope = TOKEN_USER; scope <= TOKEN_ADMIN; scope++)
        assert_int_equal(token_scope_of(token_scope_word(scope)), scope);
    assert_int_equal(token_scope_of("root"), 0);
    assert_int_equal(token_scope_of(""), 0);
}

static char *read_line(const char *dir, const char *name)
{
    struct error err;
    CLEANUP(freep) char *path = path_join(dir, name);
    char *text = NULL;
    size_t size = 0;
    assert_ok(file_read(path, 100, &text, &size, &err));
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static void the_operators_tokens_are_made_once_and_again_when_lost(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct token got;
    assert_ok(ensure_operator_tokens(f->store, f->folder, T0, &err));
    CLEANUP(freep) char *worker = read_line(f->folder, "worker-token");
    CLEANUP(freep) char *admin = read_line(f->folder, "admin-token");
    CLEANUP(freep) char *path = path_join(f->folder, "worker-token");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_ok(token_verify(f->store, worker, T0, &got, &err));
    assert_int_equal(got.scope, TOKEN_WORKER);
    assert_string_equal(got.owner, "");
    assert_ok(token_verify(f->store, admin, T0, &got, &err));
    assert_int_equal(got.scope, TOKEN_ADMIN);

    assert_ok(ensure_operator_tokens(f->store, f->folder, T0, &err));
    CLEANUP(freep) char *same = read_line(f->folder, "worker-token");
    assert_string_equal(same, worker);
    assert_int_equal(unlink(path), 0);
    assert_ok(ensure_operator_tokens(f->store, f->folder, T0, &err));
    CLEANUP(freep) char *fresh = read_line(f->folder, "worker-token");
    assert_string_not_equal(fresh, worker);
    assert_int_equal(token_verify(f->store, worker, T0, &got, &err), DENIED);
    assert_ok(token_verify(f->store, fresh, T0, &got, &err));
    assert_ok(token_verify(f->store, admin, T0, &got, &err));
}

#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_user_is_a_document_and_a_password),
        T(an_unknown_name_costs_what_a_wrong_password_costs),
        T(a_changed_password_takes_effect_at_once),
        T(names_and_passwords_have_rules),
        T(tokens_are_told_once_verified_listed_and_revoked),
        T(the_operators_tokens_are_made_once_and_again_when_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
