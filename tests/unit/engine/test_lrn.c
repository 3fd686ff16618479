#include <math.h>

#include "gradient_check.h"

struct row {
    const char *name;
    int c, h, w, size;
    double alpha, beta, k;
    bool within;
};

static const struct row rows[] = {
    {"AlexNet's, blocks of 16", 32, 5, 5, 5, 1e-1, 0.75, 1, false},
    {"AlexNet's, 20 channels", 20, 5, 5, 5, 1e-1, 0.75, 1, false},
    {"size 3, k 2, beta 0.5", 7, 4, 4, 3, 0.5, 0.5, 2, false},
    {"wider than the channels", 3, 4, 4, 9, 1, 0.75, 1, false},
    {"within 3", 4, 6, 5, 3, 0.7, 0.75, 1, true},
    {"within 5: k is ignored", 4, 6, 5, 5, 0.7, 0.5, 3, true},
};

static char *prototxt_of(const struct row *r)
{
    return xasprintf("force_backward: true\n"
                     "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: %d dim: %d "
                     "dim: %d } } }\n"
                     "layer { name: 'n' type: 'LRN' bottom: 'x' top: 'y' loss_weight: 1 lrn_param {\n"
                     "  local_size: %d alpha: %g beta: %g k: %g norm_region: %s } }",
                     r->c, r->h, r->w, r->size, r->alpha, r->beta, r->k,
                     r->within ? "WITHIN_CHANNEL" : "ACROSS_CHANNELS");
}

/* The bracket of the formula, in double. */
static double bracket(const struct row *r, const float *x, int n, int c, int y, int z)
{
    int half = r->size / 2;
    double sum = 0;
    for (int i = -half; i <= half; i++) {
        if (!r->within) {
            if (c + i >= 0 && c + i < r->c)
                sum += pow(x[((n * r->c + c + i) * r->h + y) * r->w + z], 2);
            continue;
        }
        for (int j = -half; j <= half; j++)
            if (y + i >= 0 && y + i < r->h && z + j >= 0 && z + j < r->w)
                sum += pow(x[((n * r->c + c) * r->h + y + i) * r->w + z + j], 2);
    }
    return r->within ? 1 + r->alpha * sum / (r->size * r->size) : r->k + r->alpha * sum / r->size;
}

static void values_are_those_of_the_formula(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *r = &rows[i];
        CLEANUP(freep) char *text = prototxt_of(r);
        CLEANUP(net_freep) struct net *net = net_from_text(text);
        struct error err;
        fill_inputs(net, i, -2, 2);
        assert_ok(net_forward(net, NULL, &err));
        CLEANUP(freep) float *x = blob_values(net, "x"), *y = blob_values(net, "y");
        for (int at = 0; at < 2 * r->c * r->h * r->w; at++) {
            int z = at % r->w, row = at / r->w % r->h, c = at / r->w / r->h % r->c,
                n = at / r->w / r->h / r->c;
            double want = x[at] * pow(bracket(r, x, n, c, row, z), -r->beta);
            if (!(fabs(y[at] - want) < 1e-5))
                fail_msg("%s: element %d is %g, not %g", r->name, at, y[at], want);
        }
    }
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(freep) char *text = prototxt_of(&rows[i]);
        gradient_check(&(struct gradient_check){.prototxt = text, .low = -1, .high = 1});
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_the_formula),
        cmocka_unit_test(gradients_are_those_of_finite_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
