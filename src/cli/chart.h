/*
 * chart.h - curves as text for a terminal, and as SVG.  Numbers in, bytes out.
 */
#ifndef ET_CHART_H
#define ET_CHART_H

#include "base/buf.h"

/* A curve; x ascends.  y that is NaN is a gap; infinities touch the edge. */
struct curve {
    const char *name;
    int n;
    const double *x, *y;
    int64_t n_nan; /* for the legend */
};

struct chart_style {
    int columns, rows; /* of characters, labels included: at least 20 x 4 */
    bool utf8;         /* Braille dots; else stars */
    bool colour;
};

/* Appends the chart: a title line, `rows` lines with the y labels at their left, a line of x labels. */
void chart_text(const struct curve *c, const struct chart_style *style, struct buf *out);

/* Appends a whole SVG document: the curves one under the other. */
void chart_svg(const struct curve *curves, int n, const char *title, struct buf *out);

#endif
