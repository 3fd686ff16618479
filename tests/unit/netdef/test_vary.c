/* A parameter set of a job array: JSON values into a solver. */
#include "../test.h"

#include "netdef/netdef.h"

static const char solver_text[] = "net: \"net.prototxt\" base_lr: 0.5 lr_policy: \"multistep\" max_iter: 10\n"
                                  "stepvalue: 3 stepvalue: 6 test_iter: 2 test_interval: 5 type: \"SGD\"\n";

struct vary_case {
    const char *what, *values;
    const char *expected; /* a line of the solver printed; NULL: refused, with these words */
    const char *words;
};
static const struct vary_case cases[] = {
    {"a number", "{\"base_lr\": 0.25}", "base_lr: 0.25\n", NULL},
    {"a whole number for a float", "{\"base_lr\": 1}", "base_lr: 1\n", NULL},
    {"one that was not set", "{\"momentum\": 0.5}", "momentum: 0.5\n", NULL},
    {"a string", "{\"lr_policy\": \"fixed\"}", "lr_policy: \"fixed\"\n", NULL},
    {"a string with quotes", "{\"lr_policy\": \"a\\\"b\\\\\"}", "lr_policy: \"a\\\"b\\\\\"\n", NULL},
    {"true", "{\"average_loss\": 3, \"debug_info\": true}", "debug_info: true\n", NULL},
    {"a list takes the place of the old one", "{\"stepvalue\": [4, 8, 9]}",
     "stepvalue: 4\nstepvalue: 8\nstepvalue: 9\n", NULL},
    {"one value of a list", "{\"stepvalue\": 7}", "stepvalue: 7\n", NULL},
    {"a 64-bit seed", "{\"random_seed\": 9007199254740993}", "random_seed: 9007199254740993\n", NULL},
    {"a word", "{\"solver_mode\": \"GPU\"}", "solver_mode: GPU\n", NULL},
    {"nothing", "{}", "base_lr: 0.5\n", NULL},
    {"a typing error", "{\"base_lt\": 1}", NULL, "a solver has no field 'base_lt'; did you mean 'base_lr'?"},
    {"no such word", "{\"solver_mode\": \"TPU\"}", NULL, "unknown value 'TPU'"},
    {"a word that is more", "{\"solver_mode\": \"GPU net: 3\"}", NULL, "takes a word"},
    {"a name that is more", "{\"base_lr: 1 net\": 3}", NULL, "a solver has no field"},
    {"a word for a number", "{\"max_iter\": \"many\"}", NULL, "field 'max_iter' line 1"},
    {"a fraction for a whole number", "{\"max_iter\": 1.5}", NULL, "field 'max_iter' line 1"},
    {"too large", "{\"max_iter\": 3000000000}", NULL, "field 'max_iter' line 1"},
    {"a list for one value", "{\"base_lr\": [0.1]}", NULL, "'base_lr' takes a number, a word, true or false"},
    {"null", "{\"base_lr\": null}", NULL, "'base_lr' takes"},
    {"an object", "{\"base_lr\": {}}", NULL, "'base_lr' takes"},
    {"a message", "{\"net_param\": 1}", NULL, "'net_param' takes no value of its own"},
    {"no object at all", "[]", NULL, "a parameter set is an object"},
};

static void values_are_set_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct vary_case *c = &cases[i];
        struct error err;
        Caffe__SolverParameter *solver = NULL;
        CLEANUP(json_decrefp) json_t *values = NULL;
        assert_ok(json_read(c->values, strlen(c->values), &values, &err));
        assert_ok(solver_read_text(solver_text, sizeof(solver_text) - 1, "solver", &solver, &err));
        enum status status = solver_vary(solver, values, &err);
        if ((status == OK) != (c->expected != NULL))
            fail_msg("%s: %s", c->what, status == OK ? "taken" : err.message);
        if (status != OK && !strstr(err.message, c->words))
            fail_msg("%s: '%s' lacks '%s'", c->what, err.message, c->words);
        CLEANUP(buf_release) struct buf text;
        buf_init(&text, 1 << 16);
        message_print_text(&solver->base, &text);
        if (c->expected && !strstr(text.data, c->expected))
            fail_msg("%s: %s", c->what, text.data);
        caffe__solver_parameter__free_unpacked(solver, NULL);
    }
}

static void an_old_list_is_gone(void **state)
{
    (void)state;
    struct error err;
    Caffe__SolverParameter *solver = NULL;
    CLEANUP(json_decrefp) json_t *values = json_pack("{s:[i]}", "stepvalue", 7);
    assert_ok(solver_read_text(solver_text, sizeof(solver_text) - 1, "solver", &solver, &err));
    assert_ok(solver_vary(solver, values, &err));
    assert_int_equal(solver->n_stepvalue, 1);
    assert_int_equal(solver->stepvalue[0], 7);
    caffe__solver_parameter__free_unpacked(solver, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_set_or_refused),
        cmocka_unit_test(an_old_list_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
