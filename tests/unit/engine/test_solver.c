/* The solver as a whole: tiny nets on random data, in a folder of their own. */
#include "../test.h"

#include <unistd.h>

#include "base/file.h"
#include "engine/solver.h"

/* Random data at every pass and Dropout: what a resume must bring back beside weights and history. */
#define NET                                                                                                  \
    "net_param { name: 'tiny' "                                                                              \
    "layer { name: 'd' type: 'DummyData' top: 'x' top: 't' dummy_data_param { "                              \
    "  data_filler { type: 'gaussian' } data_filler { type: 'uniform' min: -1 max: 1 } "                     \
    "  shape { dim: 4 dim: 6 } shape { dim: 4 dim: 3 } } } "                                                 \
    "layer { name: 'drop' type: 'Dropout' bottom: 'x' top: 'xd' } "                                          \
    "layer { name: 'ip' type: 'InnerProduct' bottom: 'xd' top: 'y' inner_product_param { num_output: 3 "     \
    "  weight_filler { type: 'xavier' } } } "                                                                \
    "layer { name: 'loss' type: 'EuclideanLoss' bottom: 'y' bottom: 't' top: 'loss' } } "

#define SETTINGS                                                                                             \
    "base_lr: 0.1 lr_policy: 'multistep' gamma: 0.5 stepvalue: 3 stepvalue: 7 random_seed: 7 "               \
    "snapshot_prefix: 's' "

struct fixture {
    char *folder;
    Caffe__SolverParameter *param;
    struct solver *solver;
};

static void open_fixture(struct fixture *f, const char *text, const struct solver_watch *watch)
{
    struct error err = {0};
    *f = (struct fixture){.folder = test_folder()};
    assert_ok(solver_read_text(text, strlen(text), "test", &f->param, &err));
    struct solver_options options = {.param = f->param, .folder = f->folder, .threads = 1};
    if (watch)
        options.watch = *watch;
    assert_ok(solver_create(&options, &f->solver, &err));
}

static void close_fixture(struct fixture *f)
{
    struct error err = {0};
    solver_free(f->solver);
    caffe__solver_parameter__free_unpacked(f->param, NULL);
    assert_ok(dir_remove(f->folder, &err));
    free(f->folder);
}

static char *read_in(const struct fixture *f, const char *name, size_t *ret_size)
{
    struct error err = {0};
    CLEANUP(freep) char *path = path_join(f->folder, name);
    char *bytes = NULL;
    assert_ok(file_read(path, 1 << 20, &bytes, ret_size, &err));
    return bytes;
}

static bool exists_in(const struct fixture *f, const char *name)
{
    CLEANUP(freep) char *path = path_join(f->folder, name);
    return !access(path, F_OK);
}

static void assert_same_file(const struct fixture *a, const struct fixture *b, const char *name)
{
    size_t n, m;
    CLEANUP(freep) char *x = read_in(a, name, &n);
    CLEANUP(freep) char *y = read_in(b, name, &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
}

static void the_same_seed_gives_the_same_bits(void **state)
{
    (void)state;
    struct error err = {0};
    struct fixture a, b;
    open_fixture(&a, NET SETTINGS "max_iter: 10", NULL);
    open_fixture(&b, NET SETTINGS "max_iter: 10", NULL);
    assert_ok(solver_solve(a.solver, &err));
    assert_ok(solver_solve(b.solver, &err));
    assert_same_file(&a, &b, "s_iter_10.caffemodel");
    assert_same_file(&a, &b, "s_iter_10.solverstate");
    close_fixture(&a);
    close_fixture(&b);
}

static void a_resumed_run_gives_the_bits_of_an_uninterrupted_one(void **state)
{
    (void)state;
    static const struct {
        const char *settings, *state_at_4, *model, *state;
    } cases[] = {
        {"type: 'SGD' momentum: 0.9 ", "s_iter_4.solverstate", "s_iter_10.caffemodel",
         "s_iter_10.solverstate"},
        {"type: 'Adam' momentum: 0.9 ", "s_iter_4.solverstate", "s_iter_10.caffemodel",
         "s_iter_10.solverstate"},
        {"type: 'AdaDelta' momentum: 0.9 delta: 1e-6 ", "s_iter_4.solverstate", "s_iter_10.caffemodel",
         "s_iter_10.solverstate"},
        {"type: 'Nesterov' momentum: 0.9 test_iter: 2 test_interval: 2 ", "s_iter_4.solverstate",
         "s_iter_10.caffemodel", "s_iter_10.solverstate"},
        {"type: 'SGD' iter_size: 2 snapshot_format: HDF5 ", "s_iter_4.solverstate.h5", NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {0};
        struct fixture whole, resumed;
        CLEANUP(freep)
        char *text = xasprintf("%s%s%s", NET SETTINGS "snapshot: 4 ", cases[i].settings, "max_iter: 10");
        open_fixture(&whole, text, NULL);
        assert_ok(solver_solve(whole.solver, &err));
        open_fixture(&resumed, text, NULL);
        CLEANUP(freep) char *at_4 = path_join(whole.folder, cases[i].state_at_4);
        assert_ok(solver_restore(resumed.solver, at_4, &err));
        assert_int_equal(solver_iteration(resumed.solver), 4);
        assert_ok(solver_solve(resumed.solver, &err));
        if (cases[i].model) {
            assert_same_file(&whole, &resumed, cases[i].model);
            assert_same_file(&whole, &resumed, cases[i].state);
        }
        const struct param *p = net_param(solver_net(whole.solver), 0),
                           *q = net_param(solver_net(resumed.solver), 0);
        assert_memory_equal(p->data, q->data, p->n_floats * sizeof(float));
        close_fixture(&whole);
        close_fixture(&resumed);
    }
}

struct watched {
    int n_polls, n_test_polls, n_trained, n_tested, n_snapshots;
    int stop_at;      /* number of the poll that says stop; 0: none */
    int stop_in_test; /* of those in tests */
    int64_t iteration;
};

static enum solver_action count_poll(void *context, bool testing)
{
    struct watched *w = context;
    int n = testing ? ++w->n_test_polls : ++w->n_polls;
    return n == (testing ? w->stop_in_test : w->stop_at) ? SOLVER_STOP : SOLVER_GO_ON;
}

static void count_trained(void *context, const struct solver_progress *progress)
{
    struct watched *w = context;
    w->n_trained++;
    w->iteration = progress->iteration;
    assert_int_equal(progress->max_iterations, 10);
    assert_int_equal(progress->images, 4 * progress->iteration);
}

static void count_tested(void *context, int test, int64_t iteration, const struct outputs *means)
{
    struct watched *w = context;
    w->n_tested++;
    assert_int_equal(test, 0);
    assert_int_equal(iteration % 5, 0);
    assert_int_equal(means->n, 1);
    assert_string_equal(means->each[0].name, "loss");
    assert_true(means->values[0] > 0);
}

static void count_snapshot(void *context, const char *model, const char *path, int64_t iteration)
{
    struct watched *w = context;
    CLEANUP(freep) char *want_model = xasprintf("s_iter_%lld.caffemodel", (long long)iteration);
    CLEANUP(freep) char *want_state = xasprintf("s_iter_%lld.solverstate", (long long)iteration);
    assert_string_equal(model, want_model);
    assert_string_equal(path, want_state);
    w->n_snapshots++;
}

static struct solver_watch watch_of(struct watched *w)
{
    return (struct solver_watch){count_poll, count_trained, count_tested, count_snapshot, w};
}

static void the_watch_sees_iterations_tests_and_snapshots(void **state)
{
    (void)state;
    struct error err = {0};
    struct watched seen = {0};
    struct solver_watch watch = watch_of(&seen);
    struct fixture f;
    open_fixture(&f, NET SETTINGS "max_iter: 10 snapshot: 4 test_iter: 3 test_interval: 5", &watch);
    assert_ok(solver_solve(f.solver, &err));
    assert_int_equal(seen.n_trained, 10);
    assert_int_equal(seen.n_polls, 10);
    assert_int_equal(seen.n_tested, 3);
    assert_int_equal(seen.n_test_polls, 9);
    assert_int_equal(seen.n_snapshots, 3);
    close_fixture(&f);
}

static void a_stop_leaves_a_snapshot_to_go_on_from(void **state)
{
    (void)state;
    static const struct {
        struct watched stop;
        const char *more;
        int64_t at;
        bool has_snapshot;
    } cases[] = {
        {{.stop_at = 3}, "", 3, true},
        {{.stop_in_test = 5}, "", 5, true},
        {{.stop_at = 3}, "snapshot_after_train: false", 3, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {0};
        struct watched seen = cases[i].stop;
        struct solver_watch watch = watch_of(&seen);
        struct fixture f;
        CLEANUP(freep)
        char *text =
            xasprintf("%s%s", NET SETTINGS "max_iter: 10 test_iter: 3 test_interval: 5 ", cases[i].more);
        open_fixture(&f, text, &watch);
        assert_int_equal(solver_solve(f.solver, &err), CANCELLED);
        CLEANUP(freep) char *want = xasprintf("stopped at iteration %lld of 10", (long long)cases[i].at);
        assert_string_equal(err.message, want);
        CLEANUP(freep) char *name = xasprintf("s_iter_%lld.solverstate", (long long)cases[i].at);
        assert_int_equal(exists_in(&f, name), cases[i].has_snapshot);
        close_fixture(&f);
    }
}

static void a_run_stopped_in_a_test_goes_on_with_the_same_bits(void **state)
{
    (void)state;
    struct error err = {0};
    static const char text[] = NET SETTINGS "max_iter: 10 test_iter: 3 test_interval: 5 momentum: 0.9";
    struct watched stop = {.stop_in_test = 5};
    struct solver_watch watch = watch_of(&stop);
    struct fixture whole, stopped, resumed;
    open_fixture(&whole, text, NULL);
    assert_ok(solver_solve(whole.solver, &err));
    open_fixture(&stopped, text, &watch);
    assert_int_equal(solver_solve(stopped.solver, &err), CANCELLED);
    open_fixture(&resumed, text, NULL);
    CLEANUP(freep) char *at_5 = path_join(stopped.folder, "s_iter_5.solverstate");
    assert_ok(solver_restore(resumed.solver, at_5, &err));
    assert_ok(solver_solve(resumed.solver, &err));
    assert_same_file(&whole, &resumed, "s_iter_10.caffemodel");
    assert_same_file(&whole, &resumed, "s_iter_10.solverstate");
    close_fixture(&whole);
    close_fixture(&stopped);
    close_fixture(&resumed);
}

static void a_loss_that_is_not_finite_stops_without_a_snapshot(void **state)
{
    (void)state;
    /* The first overflows the loss itself, the second the weights. */
    static const struct {
        const char *rate, *place;
    } cases[] = {{"1e30", "values of layer 'loss'"}, {"1e39", "parameters of layer 'ip'"}};
    for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
        struct error err = {0};
        struct fixture f;
        CLEANUP(freep)
        char *text =
            xasprintf("%s base_lr: %s lr_policy: 'fixed' random_seed: 7 snapshot_prefix: 's' max_iter: 10",
                      NET, cases[k].rate);
        open_fixture(&f, text, NULL);
        assert_int_equal(solver_solve(f.solver, &err), INVALID);
        assert_non_null(strstr(err.message, "the loss is "));
        assert_non_null(strstr(err.message, " at iteration 1: "));
        assert_non_null(strstr(err.message, cases[k].place));
        for (int i = 0; i <= 10; i++) {
            CLEANUP(freep) char *name = xasprintf("s_iter_%d.caffemodel", i);
            assert_false(exists_in(&f, name));
        }
        close_fixture(&f);
    }
}

static void the_layer_that_made_the_first_nan_is_named(void **state)
{
    (void)state;
    /* 1 x -1 summed is -6, whose logarithm is no number; what follows it uses its memory again. */
    static const char text[] =
        "net_param { layer { name: 'd' type: 'DummyData' top: 'x' top: 't' dummy_data_param { "
        "  data_filler { type: 'constant' value: -1 } data_filler { type: 'constant' value: 1 } "
        "  shape { dim: 4 dim: 6 } shape { dim: 4 dim: 3 } } } "
        "layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'y' inner_product_param { num_output: 5 "
        "  weight_filler { type: 'constant' value: 1 } } } "
        "layer { name: 'log' type: 'Log' bottom: 'y' top: 'y' } "
        "layer { name: 'tanh' type: 'TanH' bottom: 'y' top: 'y' } "
        "layer { name: 'ip2' type: 'InnerProduct' bottom: 'y' top: 'z' inner_product_param { num_output: 3 "
        "  weight_filler { type: 'xavier' } } } "
        "layer { name: 'loss' type: 'EuclideanLoss' bottom: 'z' bottom: 't' top: 'loss' } } " SETTINGS
        "max_iter: 3";
    struct error err = {0};
    struct fixture f;
    open_fixture(&f, text, NULL);
    assert_int_equal(solver_solve(f.solver, &err), INVALID);
    assert_non_null(strstr(err.message, "the loss is "));
    assert_non_null(strstr(err.message, " at iteration 0: values of layer 'log' are not finite"));
    close_fixture(&f);
}

static void a_silent_save_replaces_the_one_before(void **state)
{
    (void)state;
    struct error err = {0};
    struct fixture f, g;
    open_fixture(&f, NET SETTINGS "max_iter: 10", NULL);
    assert_ok(solver_save(f.solver, "live.caffemodel", "live.solverstate", &err));
    assert_ok(solver_solve(f.solver, &err));
    assert_ok(solver_save(f.solver, "live.caffemodel", "live.solverstate", &err));
    open_fixture(&g, NET SETTINGS "max_iter: 10", NULL);
    CLEANUP(freep) char *path = path_join(f.folder, "live.solverstate");
    assert_ok(solver_restore(g.solver, path, &err));
    assert_int_equal(solver_iteration(g.solver), 10);
    const struct param *p = net_param(solver_net(f.solver), 0), *q = net_param(solver_net(g.solver), 0);
    assert_memory_equal(p->data, q->data, p->n_floats * sizeof(float));
    close_fixture(&f);
    close_fixture(&g);
}

static void a_state_of_another_net_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *settings, *want;
    } cases[] = {
        {"type: 'Adam' momentum: 0.9 ", "has 2 histories, but this net and solver type need 4"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {0};
        struct fixture f, g;
        open_fixture(&f, NET SETTINGS "max_iter: 2", NULL);
        assert_ok(solver_solve(f.solver, &err));
        CLEANUP(freep) char *text = xasprintf("%s%s", NET SETTINGS "max_iter: 4 ", cases[i].settings);
        open_fixture(&g, text, NULL);
        CLEANUP(freep) char *path = path_join(f.folder, "s_iter_2.solverstate");
        assert_int_equal(solver_restore(g.solver, path, &err), INVALID);
        assert_non_null(strstr(err.message, cases[i].want));
        close_fixture(&f);
        close_fixture(&g);
    }
}

static void settings_that_make_no_sense_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum status status;
        const char *want;
    } cases[] = {
        {"base_lr: 1 lr_policy: 'fixed' snapshot_prefix: 's'", INVALID, "solver names no net to train"},
        {NET "train_net: 'x' lr_policy: 'fixed' snapshot_prefix: 's'", INVALID,
         "solver has both 'net_param' and 'train_net'"},
        {"net: 'absent.prototxt' lr_policy: 'fixed' snapshot_prefix: 's'", NOT_FOUND, "absent.prototxt"},
        {NET "lr_policy: 'fixed' snapshot_prefix: 'no/such/folder/s'", INVALID,
         "cannot write to snapshot prefix 'no/such/folder/s'"},
        {NET "lr_policy: 'fixed' snapshot_prefix: 's' test_iter: 1", INVALID,
         "test_interval must be above 0"},
        {NET
         "lr_policy: 'fixed' snapshot_prefix: 's' test_interval: 1 test_iter: 1 test_state {} test_state {}",
         INVALID, "1 test nets and 2 of test_state"},
        {NET "lr_policy: 'fixed' snapshot_prefix: 's' test_net: 'a' test_net: 'b' test_iter: 1", INVALID,
         "2 test nets and 1 values of test_iter"},
        {NET "lr_policy: 'fixed' snapshot_prefix: 's' average_loss: 0", INVALID,
         "average_loss must be at least 1"},
        {NET "lr_policy: 'fixt' snapshot_prefix: 's'", INVALID, "lr_policy 'fixt' is not known"},
    };
    CLEANUP(freep) char *folder = test_folder();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {0};
        Caffe__SolverParameter *param = NULL;
        assert_ok(solver_read_text(cases[i].text, strlen(cases[i].text), "test", &param, &err));
        const struct solver_options options = {.param = param, .folder = folder, .threads = 1};
        struct solver *solver = NULL;
        assert_int_equal(solver_create(&options, &solver, &err), cases[i].status);
        assert_non_null(strstr(err.message, cases[i].want));
        assert_null(solver);
        caffe__solver_parameter__free_unpacked(param, NULL);
    }
    struct error err = {0};
    assert_ok(dir_remove(folder, &err));
}

static void the_prefix_of_snapshots_follows_caffes_rules(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *want;
    } cases[] = {
        {"", "lenet_iter_0.caffemodel"},
        {"snapshot_prefix: 'sub'", "sub/lenet_iter_0.caffemodel"},
        {"snapshot_prefix: 'sub/x'", "sub/x_iter_0.caffemodel"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {0};
        struct fixture f = {.folder = test_folder()};
        CLEANUP(freep) char *sub = path_join(f.folder, "sub");
        assert_ok(dir_make(sub, &err));
        CLEANUP(freep) char *text = xasprintf("%s%s", NET "lr_policy: 'fixed' ", cases[i].prefix);
        assert_ok(solver_read_text(text, strlen(text), "test", &f.param, &err));
        const struct solver_options options = {
            .param = f.param, .folder = f.folder, .solver_path = "lenet.prototxt", .threads = 1};
        assert_ok(solver_create(&options, &f.solver, &err));
        assert_ok(solver_snapshot(f.solver, &err));
        assert_true(exists_in(&f, cases[i].want));
        close_fixture(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_bits),
        cmocka_unit_test(a_resumed_run_gives_the_bits_of_an_uninterrupted_one),
        cmocka_unit_test(the_watch_sees_iterations_tests_and_snapshots),
        cmocka_unit_test(a_stop_leaves_a_snapshot_to_go_on_from),
        cmocka_unit_test(a_run_stopped_in_a_test_goes_on_with_the_same_bits),
        cmocka_unit_test(a_loss_that_is_not_finite_stops_without_a_snapshot),
        cmocka_unit_test(the_layer_that_made_the_first_nan_is_named),
        cmocka_unit_test(a_silent_save_replaces_the_one_before),
        cmocka_unit_test(a_state_of_another_net_is_refused),
        cmocka_unit_test(settings_that_make_no_sense_are_told),
        cmocka_unit_test(the_prefix_of_snapshots_follows_caffes_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
