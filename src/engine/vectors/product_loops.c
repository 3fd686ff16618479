/*
 * product_loops.c - product.h's loops, for one kind of vector.
 *
 * A block of c, 6 rows and 2 vectors at most, stays in the registers while k
 * goes by: 12 of 16 hold sums, so that multiplications need not wait for each
 * other.
 */
#include "engine/vectors/product.h"
#include "engine/vectors/vec.h"

enum { ROWS = 6, VECTORS = 2 };

/* So many rows from `row` on, and `columns` columns, in so many vectors, from `column` on. */
INLINE void block(const struct product *p, size_t row, int rows, size_t column, int vectors, size_t columns)
{
    vec sums[ROWS][VECTORS];
    size_t last = columns - (size_t)(vectors - 1) * LANES;
    const float *a = p->a + row * p->a_row, *b = p->b + column;
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            sums[i][j] = (vec){0};
    for (size_t k = 0; k < p->k; k++, a += p->a_column, b += p->b_row) {
        vec right[VECTORS];
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            right[j] = read(b + j * LANES, j + 1 < vectors ? LANES : last);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                sums[i][j] += right[j] * a[(size_t)i * p->a_row];
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) {
            float *c = p->c + (row + (size_t)i) * p->c_row + column + j * LANES;
            size_t lanes = j + 1 < vectors ? LANES : last;
            if (p->add)
                sums[i][j] += read(c, lanes);
            write(c, sums[i][j], lanes);
        }
}

/* All rows, in blocks of about the same size. */
INLINE void all_rows(const struct product *p, size_t column, int vectors, size_t columns)
{
    size_t blocks = (p->m + ROWS - 1) / ROWS;
    for (size_t b = 0; b < blocks; b++) {
        size_t from = p->m * b / blocks, to = p->m * (b + 1) / blocks;
        switch (to - from) {
        case 6:
            block(p, from, 6, column, vectors, columns);
            break;
        case 5:
            block(p, from, 5, column, vectors, columns);
            break;
        case 4:
            block(p, from, 4, column, vectors, columns);
            break;
        case 3:
            block(p, from, 3, column, vectors, columns);
            break;
        case 2:
            block(p, from, 2, column, vectors, columns);
            break;
        default:
            block(p, from, 1, column, vectors, columns);
            break;
        }
    }
}

void VECTORS_NAME(product)(const struct product *p)
{
    size_t column = 0;
    for (; column + VECTORS * LANES <= p->n; column += VECTORS * LANES)
        all_rows(p, column, VECTORS, VECTORS * LANES);
    for (; column + LANES <= p->n; column += LANES)
        all_rows(p, column, 1, LANES);
    if (column < p->n)
        all_rows(p, column, 1, p->n - column);
}
