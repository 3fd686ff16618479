/* The multiplication of small matrices by each kind of vector that this processor has, against its formula.
 */
#include <math.h>

#include "engine/vectors/product.h"
#include "gradient_check.h"
#include "processor.h"

enum { ROWS_MAX = 19, COLUMNS_MAX = 41, DEPTH_MAX = 9, GAP = 3 };

/* Of a, rows lie side by side or columns; behind each row of c is a gap that is not written. */
struct trial {
    size_t m, n, k;
    bool a_is_turned, add;
};

static void try_product(product_multiply *multiply, const struct trial *t)
{
    float a[ROWS_MAX * DEPTH_MAX], b[DEPTH_MAX * (COLUMNS_MAX + GAP)], c[ROWS_MAX * (COLUMNS_MAX + GAP)];
    fill_random(1, -1, 1, ARRAY_SIZE(a), a);
    fill_random(2, -1, 1, ARRAY_SIZE(b), b);
    fill_random(3, -1, 1, ARRAY_SIZE(c), c);
    float before[ARRAY_SIZE(c)];
    memcpy(before, c, sizeof(c));
    const struct product p = {
        .a = a,
        .b = b,
        .c = c,
        .m = t->m,
        .n = t->n,
        .k = t->k,
        .a_row = t->a_is_turned ? 1 : t->k,
        .a_column = t->a_is_turned ? t->m : 1,
        .b_row = t->n + GAP,
        .c_row = t->n + GAP,
        .add = t->add,
    };
    multiply(&p);
    for (size_t at = 0; at < ARRAY_SIZE(c); at++) {
        size_t i = at / p.c_row, j = at % p.c_row;
        bool is_written = i < p.m && j < p.n;
        double want = is_written && !p.add ? 0 : before[at];
        for (size_t k = 0; is_written && k < p.k; k++)
            want += (double)a[i * p.a_row + k * p.a_column] * b[k * p.b_row + j];
        if (!(fabs(c[at] - want) <= (is_written ? 1e-6 : 0)))
            fail_msg("%zu x %zu x %zu, turned %d, add %d: (%zu,%zu) is %g, not %g", t->m, t->k, t->n,
                     t->a_is_turned, t->add, i, j, (double)c[at], want);
    }
}

static void try_kind(product_multiply *multiply)
{
    for (size_t m = 1; m <= ROWS_MAX; m++)
        for (size_t n = 1; n <= COLUMNS_MAX; n++)
            for (int flags = 0; flags < 4; flags++)
                try_product(multiply,
                            &(struct trial){m, n, (m + n) % (DEPTH_MAX + 1), flags % 2 == 1, flags >= 2});
}

static void loops_of_every_processor(void **state)
{
    (void)state;
    try_kind(product_any);
}

#ifdef __x86_64__
static void loops_with_avx2(void **state)
{
    (void)state;
    try_kind(product_avx2);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loops_of_every_processor),
#ifdef __x86_64__
        UNIT_TEST_IF(has_avx2(), loops_with_avx2, "AVX2"),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
