#include "../test.h"

#include "base/file.h"
#include "engine/solver_state.h"

static void fill(struct solver_state *s)
{
    *s = (struct solver_state){
        .iteration = 4000, .current_step = 2, .learned_net = xstrdup("snap_iter_4000.caffemodel")};
    solver_state_make_histories(s, 2);
    static const float values[2][6] = {{1, -2, 3, .5f, 0, 1e-20f}, {7}};
    s->histories[0].shape = (struct shape){.n_axes = 2, .dim = {2, 3}};
    s->histories[1].shape = (struct shape){.n_axes = 0};
    for (int i = 0; i < 2; i++) {
        s->histories[i].values = xmalloc(sizeof(values[i]));
        memcpy(s->histories[i].values, values[i], sizeof(values[i]));
    }
    solver_state_make_positions(s, 1);
    s->positions[0].bytes = xmalloc(4);
    memcpy(s->positions[0].bytes,
           "a\0\xff"
           "b",
           4);
    s->positions[0].size = 4;
}

static void a_state_is_read_as_it_was_written(void **state)
{
    (void)state;
    static const char *const names[] = {"x.solverstate", "x.solverstate.h5"};
    CLEANUP(freep) char *folder = test_folder();
    struct error err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEANUP(freep) char *path = path_join(folder, names[i]);
        CLEANUP(solver_state_release) struct solver_state s, t = {0};
        fill(&s);
        assert_ok(solver_state_write(&s, path, &err));
        assert_ok(solver_state_write(&s, path, &err));
        assert_ok(solver_state_read(path, &t, &err));
        assert_int_equal(t.iteration, 4000);
        assert_int_equal(t.current_step, 2);
        assert_string_equal(t.learned_net, "snap_iter_4000.caffemodel");
        assert_int_equal(t.n_histories, 2);
        assert_int_equal(t.histories[0].shape.n_axes, 2);
        assert_int_equal(t.histories[0].shape.dim[1], 3);
        assert_memory_equal(t.histories[0].values, s.histories[0].values, 6 * sizeof(float));
        assert_int_equal(t.histories[1].shape.n_axes, 0);
        assert_float_equal(t.histories[1].values[0], 7, 0);
        assert_int_equal(t.n_positions, 1);
        assert_int_equal(t.positions[0].size, 4);
        assert_memory_equal(t.positions[0].bytes,
                            "a\0\xff"
                            "b",
                            4);
    }
    assert_ok(dir_remove(folder, &err));
}

static void a_file_that_is_no_state_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *bytes;
    } files[] = {
        {"text.solverstate", "hello, this is text"},
        {"empty.solverstate", ""},
        {"text.solverstate.h5", "hello, this is text"},
        {"shape.solverstate", "\x08\x01\x1a\x08\x3a\x02\x08\x05\x2d\0\0\0"},
    };
    CLEANUP(freep) char *folder = test_folder();
    struct error err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        CLEANUP(freep) char *path = path_join(folder, files[i].name);
        size_t size = i == 3 ? 12 : strlen(files[i].bytes);
        assert_ok(file_write(path, files[i].bytes, size, 0600, &err));
        struct solver_state s = {0};
        assert_int_equal(solver_state_read(path, &s, &err), INVALID);
        assert_non_null(strstr(err.message, files[i].name));
        assert_int_equal(s.n_histories, 0);
    }
    struct solver_state s = {0};
    CLEANUP(freep) char *absent = path_join(folder, "absent.solverstate");
    assert_int_equal(solver_state_read(absent, &s, &err), NOT_FOUND);
    CLEANUP(freep) char *absent_h5 = path_join(folder, "absent.solverstate.h5");
    assert_int_equal(solver_state_read(absent_h5, &s, &err), NOT_FOUND);
    assert_ok(dir_remove(folder, &err));
}

/* Recorded from Caffe after four iterations of its Adam. */
static void a_state_that_caffe_wrote_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *path, *learned_net;
        int n_histories;
    } cases[] = {
        {"resume_adam/state_iter_4.solverstate", "state_iter_4.caffemodel", 8},
        {"resume_h5/state_iter_4.solverstate.h5", "state_iter_4.caffemodel.h5", 4},
    };
    const char *folder = getenv("ET_CONFORMANCE_CASES");
    assert_non_null(folder);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {0};
        CLEANUP(freep) char *path = path_join(folder, cases[i].path);
        CLEANUP(solver_state_release) struct solver_state s = {0};
        assert_ok(solver_state_read(path, &s, &err));
        assert_int_equal(s.iteration, 4);
        assert_string_equal(s.learned_net, cases[i].learned_net);
        assert_int_equal(s.n_histories, cases[i].n_histories);
        assert_int_equal(s.n_positions, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_is_read_as_it_was_written),
        cmocka_unit_test(a_file_that_is_no_state_is_told),
        cmocka_unit_test(a_state_that_caffe_wrote_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
