/* LSTM, RNN and LSTMUnit: numbers worked by hand, Caffe's formulas written out step by step, gradients. */
#include <math.h>

#include "gradient_check.h"

static void check_close(const float *got, const double *wanted, int n)
{
    for (int i = 0; i < n; i++)
        if (!(fabs(got[i] - wanted[i]) <= 2e-6))
            fail_msg("value %d is %.9g, not %.9g", i, got[i], wanted[i]);
}

static void an_lstm_unit_gives_what_is_worked_by_hand(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(net_freep)
    struct net *net = net_from_text(
        "force_backward: true\n"
        "layer { name: 'in' type: 'Input' top: 'c0' top: 'gates' top: 'cont' input_param {\n"
        "  shape { dim: 1 dim: 3 dim: 1 } shape { dim: 1 dim: 3 dim: 4 } shape { dim: 1 dim: 3 } } }\n"
        "layer { name: 'u' type: 'LSTMUnit' bottom: 'c0' bottom: 'gates' bottom: 'cont' top: 'c' top: 'h'\n"
        "  loss_weight: 1 loss_weight: 1 }");
    /* sigmoid(0) = 1/2, sigmoid(ln 3) = 3/4, tanh(ln 3) = 4/5, tanh(ln 2) = 3/5 */
    const double ln2 = 0.69314718055994531, ln3 = 1.0986122886681098;
    const float c0[] = {1, 2, 1}, cont[] = {1, 0, 1};
    const float gates[] = {0, 0, 0, 0, 0, 0, 0, (float)ln2, (float)ln3, 0, (float)ln3, (float)ln3};
    const double c[] = {0.5, 0.3, 1.1};
    const double h[] = {0.23105857863000490, 0.14565630622579540, 0.6003742663204723};
    blob_set(net, "c0", c0);
    blob_set(net, "gates", gates);
    blob_set(net, "cont", cont);
    assert_ok(net_forward(net, NULL, &err));
    CLEANUP(freep) float *got_c = blob_values(net, "c");
    CLEANUP(freep) float *got_h = blob_values(net, "h");
    check_close(got_c, c, 3);
    check_close(got_h, h, 3);

    /* dc = 1, dh = 0: dc0 = f, df = c0 f (1 - f), di = g i (1 - i), dg = i (1 - g g) */
    set_top_diff(net, "c", (const float[]){1, 1, 1});
    set_top_diff(net, "h", (const float[]){0, 0, 0});
    net_backward(net);
    CLEANUP(freep) float *dc0 = blob_diffs(net, "c0");
    CLEANUP(freep) float *dgates = blob_diffs(net, "gates");
    check_close(dc0, (const double[]){0.5, 0, 0.5}, 3);
    check_close(dgates, (const double[]){0, 0.25, 0, 0.5, 0.15, 0, 0, 0.32, 0.15, 0.25, 0, 0.27}, 12);
}

static void an_rnn_gives_what_is_worked_by_hand(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(net_freep)
    struct net *net = net_from_text("layer { name: 'in' type: 'Input' top: 'x' top: 'cont' input_param {\n"
                                    "  shape { dim: 2 dim: 1 dim: 1 } shape { dim: 2 dim: 1 } } }\n"
                                    "layer { name: 'r' type: 'RNN' bottom: 'x' bottom: 'cont' top: 'y' "
                                    "recurrent_param { num_output: 1 } }");
    /* Wx 1, b ln 2, Wh 5/3, Wo 1, bo 0: h1 = tanh(ln 2) = 3/5, h2 = tanh(5/3 3/5 - 1) = 0 */
    const float ln2 = 0.69314718f, weights[] = {1, ln2, 5 / 3.f, 1, 0};
    for (int i = 0; i < 5; i++)
        param_set(net, i, &weights[i]);
    blob_set(net, "x", (const float[]){0, -1 - ln2});
    blob_set(net, "cont", (const float[]){0, 1});
    assert_ok(net_forward(net, NULL, &err));
    CLEANUP(freep) float *y = blob_values(net, "y");
    check_close(y, (const double[]){0.53704956699803530, 0}, 2);
}

/* ---- step by step, in double ---- */

enum { T = 4, N = 3, K = 5, D = 6, S = 2 };

struct kind {
    const char *type;
    int g; /* gates' width */
};

static const struct kind lstm = {"LSTM", 4 * D}, rnn = {"RNN", D};

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* One stream; h and c are carried along; p[i] are the parameters in Caffe's order with static input. */
static void reference_step(const struct kind *kind, float *const p[6], const float *x, const float *fixed,
                           double cont, double *h, double *c, double *ret_y)
{
    double gates[4 * D], old[D];
    for (int i = 0; i < D; i++)
        old[i] = cont * h[i];
    for (int r = 0; r < kind->g; r++) {
        gates[r] = p[1][r];
        for (int k = 0; k < K; k++)
            gates[r] += (double)p[0][r * K + k] * x[k];
        for (int k = 0; k < S; k++)
            gates[r] += (double)p[2][r * S + k] * fixed[k];
        for (int k = 0; k < D; k++)
            gates[r] += (double)p[3][r * D + k] * old[k];
    }
    for (int i = 0; i < D && kind == &lstm; i++) {
        c[i] = cont * sigmoid(gates[D + i]) * c[i] + sigmoid(gates[i]) * tanh(gates[3 * D + i]);
        ret_y[i] = h[i] = sigmoid(gates[2 * D + i]) * tanh(c[i]);
    }
    if (kind == &lstm)
        return;
    for (int i = 0; i < D; i++)
        h[i] = tanh(gates[i]);
    for (int i = 0; i < D; i++) {
        double sum = p[5][i];
        for (int k = 0; k < D; k++)
            sum += (double)p[4][i * D + k] * h[k];
        ret_y[i] = tanh(sum);
    }
}

static struct net *random_net(const struct kind *kind)
{
    CLEANUP(freep)
    char *text = xasprintf(
        "layer { name: 'in' type: 'Input' top: 'x' top: 'cont' top: 's' input_param {\n"
        "  shape { dim: %d dim: %d dim: %d } shape { dim: %d dim: %d } shape { dim: %d dim: %d } } }\n"
        "layer { name: 'r' type: '%s' bottom: 'x' bottom: 'cont' bottom: 's' top: 'y' recurrent_param {\n"
        "  num_output: %d weight_filler { type: 'gaussian' } bias_filler { type: 'gaussian' } } }",
        T, N, K, T, N, N, S, kind->type, D);
    return net_from_text(text);
}

/* Two batches, the second going on from the first where cont says so. */
static void check_against_steps(const struct kind *kind)
{
    struct error err = {0};
    CLEANUP(net_freep) struct net *net = random_net(kind);
    float *p[6] = {0};
    for (int i = 0; i < net_n_params(net); i++)
        p[i] = param_values(net, i);
    double h[N][D] = {0}, c[N][D] = {0};
    for (int batch = 0; batch < 2; batch++) {
        float x[T * N * K], fixed[N * S];
        float cont[T * N] = {1, (float)batch, 0, 1, 1, 0, 0, 1, 1, 1, 0.5f, 1};
        fill_random(10 + (uint64_t)batch, -1, 1, T * N * K, x);
        fill_random(20 + (uint64_t)batch, -1, 1, N * S, fixed);
        blob_set(net, "x", x);
        blob_set(net, "cont", cont);
        blob_set(net, "s", fixed);
        assert_ok(net_forward(net, NULL, &err));
        CLEANUP(freep) float *y = blob_values(net, "y");
        for (int t = 0; t < T; t++) {
            for (int n = 0; n < N; n++) {
                double wanted[D];
                int at = t * N + n;
                reference_step(kind, p, x + at * K, fixed + n * S, cont[at], h[n], c[n], wanted);
                check_close(y + at * D, wanted, D);
            }
        }
    }
    for (int i = 0; i < 6; i++)
        free(p[i]);
}

static void sequences_are_those_of_single_steps_and_go_on_in_the_next_batch(void **state)
{
    (void)state;
    check_against_steps(&lstm);
    check_against_steps(&rnn);
}

static void a_saved_position_brings_the_hidden_state_back(void **state)
{
    (void)state;
    const struct kind *kinds[] = {&lstm, &rnn};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct error err = {0};
        CLEANUP(net_freep) struct net *net = random_net(kinds[i]);
        fill_inputs(net, 3, 0.2f, 1);
        assert_ok(net_forward(net, NULL, &err));
        CLEANUP(freep) char *bytes = NULL;
        size_t size;
        assert_ok(net_save_position(net, &bytes, &size, &err));
        assert_ok(net_forward(net, NULL, &err));
        CLEANUP(freep) float *wanted = blob_values(net, "y");

        CLEANUP(net_freep) struct net *other = random_net(kinds[i]);
        fill_inputs(other, 3, 0.2f, 1);
        assert_ok(net_load_position(other, bytes, size, &err));
        assert_ok(net_forward(other, NULL, &err));
        CLEANUP(freep) float *got = blob_values(other, "y");
        assert_memory_equal(got, wanted, T * N * D * sizeof(float));
        assert_int_equal(net_load_position(other, bytes, size - 1, &err), INVALID);
        assert_string_equal(err.message, "layer 'r': the saved position is cut short");
    }
}

/* Initial state and cont do not come from Input: they get no gradient, as in Caffe. */
#define EXPOSED                                                                                              \
    "force_backward: true\n"                                                                                 \
    "layer { name: 'in' type: 'Input' top: 'x' top: 's' input_param {\n"                                     \
    "  shape { dim: 3 dim: 2 dim: 2 } shape { dim: 2 dim: 3 } } }\n"                                         \
    "layer { name: 'd' type: 'DummyData' top: 'cont' top: 'h0' top: 'c0' dummy_data_param {\n"               \
    "  shape { dim: 3 dim: 2 } shape { dim: 1 dim: 2 dim: 2 } shape { dim: 1 dim: 2 dim: 2 }\n"              \
    "  data_filler { value: 1 } data_filler { value: 0.5 } data_filler { value: -0.5 } } }\n"
#define FILLED                                                                                               \
    "recurrent_param { num_output: 2 expose_hidden: true weight_filler { type: 'gaussian' }\n"               \
    "  bias_filler { type: 'gaussian' } } }\n"

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    static const char *const nets[] = {
        EXPOSED "layer { name: 'q' type: 'Silence' bottom: 'c0' }\n"
                "layer { name: 'r' type: 'RNN' bottom: 'x' bottom: 'cont' bottom: 's' bottom: 'h0' top: 'y'\n"
                "  top: 'hT' loss_weight: 1 loss_weight: 0 " FILLED,
        EXPOSED
        "layer { name: 'r' type: 'LSTM' bottom: 'x' bottom: 'cont' bottom: 's' bottom: 'h0'\n"
        "  bottom: 'c0' top: 'y' top: 'hT' top: 'cT' loss_weight: 1 loss_weight: 0 loss_weight: 0 " FILLED,
        "force_backward: true\n"
        "layer { name: 'in' type: 'Input' top: 'c' top: 'g' input_param {\n"
        "  shape { dim: 1 dim: 2 dim: 3 } shape { dim: 1 dim: 2 dim: 12 } } }\n"
        "layer { name: 'd' type: 'DummyData' top: 'cont' dummy_data_param { shape { dim: 1 dim: 2 }\n"
        "  data_filler { value: 1 } } }\n"
        "layer { name: 'u' type: 'LSTMUnit' bottom: 'c' bottom: 'g' bottom: 'cont' top: 'c1' top: 'h1'\n"
        "  loss_weight: 1 loss_weight: 1 }\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(nets); i++)
        gradient_check(&(struct gradient_check){.prototxt = nets[i], .low = -1, .high = 1});
}

static void the_initial_state_gets_no_gradient(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(net_freep)
    struct net *net = net_from_text(
        "force_backward: true\n"
        "layer { name: 'in' type: 'Input' top: 'x' top: 'cont' top: 'h0' input_param {\n"
        "  shape { dim: 2 dim: 1 dim: 1 } shape { dim: 2 dim: 1 } shape { dim: 1 dim: 1 dim: 2 } } }\n"
        "layer { name: 'r' type: 'RNN' bottom: 'x' bottom: 'cont' bottom: 'h0' top: 'y' top: 'hT'\n"
        "  loss_weight: 1 loss_weight: 1\n" FILLED);
    fill_inputs(net, 1, 0.5f, 1);
    assert_ok(net_forward(net, NULL, &err));
    net_backward(net);
    CLEANUP(freep) float *dh0 = blob_diffs(net, "h0");
    assert_float_equal(dh0[0], 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_lstm_unit_gives_what_is_worked_by_hand),
        cmocka_unit_test(an_rnn_gives_what_is_worked_by_hand),
        cmocka_unit_test(sequences_are_those_of_single_steps_and_go_on_in_the_next_batch),
        cmocka_unit_test(a_saved_position_brings_the_hidden_state_back),
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(the_initial_state_gets_no_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
