#include "netdef/nearest.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_LENGTH = 64 };

/*
 * Levenshtein's distance, case aside; swapped neighbours count as one edit.
 * INT_MAX for names longer than any known one.
 */
static int edit_distance(const char *a, const char *b)
{
    size_t n_a = strlen(a), n_b = strlen(b);
    if (n_a > NAME_MAX_LENGTH || n_b > NAME_MAX_LENGTH)
        return INT_MAX;
    int rows[3][NAME_MAX_LENGTH + 1];
    for (size_t j = 0; j <= n_b; j++)
        rows[0][j] = (int)j;
    for (size_t i = 1; i <= n_a; i++) {
        int *row = rows[i % 3], *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= n_b; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            row[j] = MIN(MIN(row[j - 1], above[j]) + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2]))
                row[j] = MIN(row[j], above2[j - 2] + 1);
        }
    }
    return rows[n_a % 3][n_b];
}

void nearest_init(struct nearest *n, const char *wanted)
{
    /* A third of the letters may be wrong, but never all of them. */
    int length = (int)MIN(strlen(wanted), (size_t)NAME_MAX_LENGTH);
    *n = (struct nearest){.wanted = wanted, .distance = MIN(length / 3 + 2, length)};
}

void nearest_offer(struct nearest *n, const char *known)
{
    int distance = edit_distance(n->wanted, known);
    if (distance < n->distance) {
        n->distance = distance;
        n->best = known;
    }
}

const char *nearest_text(const struct nearest *n, char out[NEAREST_TEXT_MAX])
{
    out[0] = '\0';
    if (n->best)
        snprintf(out, NEAREST_TEXT_MAX, "; did you mean '%s'?", n->best);
    return out;
}
