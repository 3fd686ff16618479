/*
 * Which nets a solver runs, and in which state: Caffe's rules.
 *
 * The train net is one of net, net_param, train_net, train_net_param.  Test
 * nets are test_net_param, then test_net, then the generic net as often as
 * test_iter has further values.  State: the phase's default, then the net's
 * own, then train_state or test_state.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "engine/caffe_log.h"
#include "engine/net_log.h"
#include "engine/solver_internal.h"
#include "netdef/state.h"

/* ---- where a net's definition is ---- */

/* One of file and inline_param is set; `field` is its name in the solver. */
struct net_place {
    const char *field;
    const char *file;
    const Caffe__NetParameter *inline_param;
};

static void net_parameter_freep(Caffe__NetParameter **p)
{
    if (*p)
        caffe__net_parameter__free_unpacked(*p, NULL);
}

static uint64_t solver_seed(const struct solver *s)
{
    uint64_t seed = 0;
    if (s->param->random_seed >= 0)
        return (uint64_t)s->param->random_seed;
    if (getrandom(&seed, sizeof(seed), 0) < 0)
        seed = 1;
    return seed;
}

static enum status load_weights(struct net *net, const struct solver *s, const char *list, struct error *err)
{
    CLEANUP(freep) char *names = xstrdup(list);
    char *rest = NULL;
    for (char *name = strtok_r(names, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        name += strspn(name, " \t");
        name[strcspn(name, " \t\r\n")] = '\0';
        caffe_log('I', "solver.cpp:72", "Finetuning from %s", name);
        CLEANUP(freep) char *path = solver_path(s, name);
        TRY(net_load_weights(net, path, err));
    }
    return OK;
}

static enum status load_all_weights(struct net *net, const struct solver *s, struct error *err)
{
    if (s->options.weights)
        return load_weights(net, s, s->options.weights, err);
    for (size_t i = 0; i < s->param->n_weights; i++)
        TRY(load_weights(net, s, s->param->weights[i], err));
    return OK;
}

/* test: -1 for the train net. */
static enum status make_net(struct solver *s, const struct net_place *place, int test, struct net **ret_net,
                            struct error *err)
{
    CLEANUP(net_parameter_freep) Caffe__NetParameter *from_file = NULL;
    const Caffe__NetParameter *param = place->inline_param;
    if (place->file) {
        CLEANUP(freep) char *path = solver_path(s, place->file);
        TRY(net_read_file(path, &from_file, err));
        param = from_file;
    }
    CLEANUP(net_state_release)
    struct net_state state = {.phase = test < 0 ? CAFFE__PHASE__TRAIN : CAFFE__PHASE__TEST};
    net_state_merge(&state, param->state);
    if (test >= 0 && s->param->n_test_state) {
        net_state_merge(&state, s->param->test_state[test]);
    } else if (test < 0) {
        net_state_merge(&state, s->param->train_state);
        state.level = s->options.level;
        net_state_add_stages(&state, s->options.stages, (size_t)s->options.n_stages);
    }
    const struct netdef_options keep = net_state_options(&state);
    const struct net_options options = {
        .threads = s->options.threads,
        .precision = s->options.precision,
        /* A net's seed must differ from its neighbours', not from its neighbour's in another run. */
        .seed = solver_seed(s) + (uint64_t)(test + 1) * 0x9e3779b97f4a7c15u,
        .folder = s->options.folder,
        .share = test < 0 ? NULL : s->net,
        .inference = test >= 0,
        .debug_info = s->param->debug_info,
    };
    CLEANUP(net_freep) struct net *net = NULL;
    if (net_create(param, &keep, &options, &net, err) != OK)
        return error_context(err, place->file ? "%s '%s'" : "%s", place->field, place->file);
    net_log(net);
    TRY(load_all_weights(net, s, err));
    *ret_net = TAKE(net);
    return OK;
}

static enum status make_train_net(struct solver *s, struct error *err)
{
    const Caffe__SolverParameter *p = s->param;
    const struct net_place places[] = {
        {"net", p->net, NULL},
        {"net_param", NULL, p->net_param},
        {"train_net", p->train_net, NULL},
        {"train_net_param", NULL, p->train_net_param},
    };
    const struct net_place *place = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        if (!places[i].file && !places[i].inline_param)
            continue;
        if (place)
            return error_set(err, INVALID, "solver has both '%s' and '%s'; it must name one net to train",
                             place->field, places[i].field);
        place = &places[i];
    }
    if (!place)
        return error_set(err, INVALID,
                         "solver names no net to train: set net, net_param, train_net or train_net_param");
    if (place->file)
        caffe_log('I', "solver.cpp:97", "Creating training net from %s file: %s", place->field, place->file);
    else
        caffe_log('I', "solver.cpp:92", "Creating training net specified in %s.", place->field);
    return make_net(s, place, -1, &s->net, err);
}

static enum status check_tests(const Caffe__SolverParameter *p, int n_named, int n_tests, bool has_generic,
                               struct error *err)
{
    if (n_tests < n_named || (!has_generic && n_tests != n_named))
        return error_set(err, INVALID,
                         "solver has %d test nets and %d values of test_iter; each net needs one", n_named,
                         n_tests);
    if (p->n_test_state && p->n_test_state != (size_t)n_tests)
        return error_set(err, INVALID,
                         "solver has %d test nets and %zu of test_state; give none, or one a net", n_tests,
                         p->n_test_state);
    if (n_tests && p->test_interval <= 0)
        return error_set(err, INVALID, "test_interval must be above 0 when there are test nets, not %d",
                         p->test_interval);
    for (int i = 0; i < n_tests; i++)
        if (p->test_iter[i] < 0)
            return error_set(err, INVALID, "test_iter must not be negative: %d", p->test_iter[i]);
    return OK;
}

static struct net_place test_place(const Caffe__SolverParameter *p, int test)
{
    int n_inline = (int)p->n_test_net_param;
    if (test < n_inline)
        return (struct net_place){"test_net_param", NULL, p->test_net_param[test]};
    if (test < n_inline + (int)p->n_test_net)
        return (struct net_place){"test_net", p->test_net[test - n_inline], NULL};
    if (p->net)
        return (struct net_place){"net", p->net, NULL};
    return (struct net_place){"net_param", NULL, p->net_param};
}

static enum status make_test_nets(struct solver *s, struct error *err)
{
    const Caffe__SolverParameter *p = s->param;
    int n_tests = (int)p->n_test_iter;
    TRY(check_tests(p, (int)(p->n_test_net_param + p->n_test_net), n_tests, p->net || p->net_param, err));
    s->tests = xcalloc((size_t)n_tests + 1, sizeof(*s->tests));
    for (int i = 0; i < n_tests; i++) {
        struct net_place place = test_place(p, i);
        caffe_log('I', "solver.cpp:190", "Creating test net (#%d) specified by %s%s%s", i, place.field,
                  place.file ? " file: " : "", place.file ? place.file : "");
        if (make_net(s, &place, i, &s->tests[i].net, err) != OK)
            return error_context(err, "test net %d", i);
        s->n_tests = i + 1;
        outputs_init(&s->tests[i].means, s->tests[i].net);
    }
    return OK;
}

enum status solver_make_nets(struct solver *s, struct error *err)
{
    TRY(make_train_net(s, err));
    outputs_init(&s->outputs, s->net);
    return make_test_nets(s, err);
}
