#include "cli/chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_WIDTH 10 /* of a y label */

#define SVG_WIDTH  800
#define SVG_HEIGHT 260
#define SVG_LEFT   70
#define SVG_TOP    30
#define SVG_BOTTOM 30
#define SVG_RIGHT  20

struct extent {
    double x0, x1, y0, y1;
};

/* The finite points' extent, widened where it is a point; false: there is none. */
static bool extent_of(const struct curve *c, struct extent *ret_extent)
{
    struct extent e = {INFINITY, -INFINITY, INFINITY, -INFINITY};
    for (int i = 0; i < c->n; i++) {
        e.x0 = fmin(e.x0, c->x[i]);
        e.x1 = fmax(e.x1, c->x[i]);
        if (isfinite(c->y[i])) {
            e.y0 = fmin(e.y0, c->y[i]);
            e.y1 = fmax(e.y1, c->y[i]);
        }
    }
    if (!c->n || e.y0 > e.y1)
        return false;
    if (e.x0 == e.x1)
        e.x1 = e.x0 + 1;
    if (e.y0 == e.y1) {
        double half = e.y0 ? fabs(e.y0) / 2 : 0.5;
        e.y0 -= half;
        e.y1 += half;
    }
    *ret_extent = e;
    return true;
}

/* Share of the way from low to high, in [0, 1]. */
static double share(double v, double low, double high)
{
    return v <= low ? 0 : v >= high ? 1 : v / 2 == high / 2 ? 1 : (v / 2 - low / 2) / (high / 2 - low / 2);
}

/* A grid of dots, 2 x 4 to a character. */
struct dots {
    int width, height;
    unsigned char *set;
};

static void dot(struct dots *d, int x, int y)
{
    d->set[y * d->width + x] = 1;
}

/* A straight line of dots, from one to the other. */
static void line(struct dots *d, int x0, int y0, int x1, int y1)
{
    int n = MAX(abs(x1 - x0), abs(y1 - y0));
    for (int i = 0; i <= n; i++)
        dot(d, n ? x0 + (int)lround((double)(x1 - x0) * i / n) : x0,
            n ? y0 + (int)lround((double)(y1 - y0) * i / n) : y0);
}

static void draw(const struct curve *c, const struct extent *e, struct dots *d)
{
    int x0 = 0, y0 = 0;
    bool joined = false;
    for (int i = 0; i < c->n; i++) {
        if (isnan(c->y[i])) {
            joined = false;
            continue;
        }
        int x = (int)lround(share(c->x[i], e->x0, e->x1) * (d->width - 1));
        int y = (int)lround((1 - share(c->y[i], e->y0, e->y1)) * (d->height - 1));
        line(d, joined ? x0 : x, joined ? y0 : y, x, y);
        x0 = x;
        y0 = y;
        joined = true;
    }
}

/* Unicode's Braille: U+2800 and a bit for each dot, columns first but for the lowest row. */
static void put_braille(const struct dots *d, int column, int row, struct buf *out)
{
    static const unsigned char bits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    unsigned code = 0x2800;
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 2; x++)
            if (d->set[(4 * row + y) * d->width + 2 * column + x])
                code |= bits[y][x];
    if (code == 0x2800) {
        buf_putc(out, ' ');
        return;
    }
    buf_putc(out, (char)(0xe0 | code >> 12));
    buf_putc(out, (char)(0x80 | (code >> 6 & 0x3f)));
    buf_putc(out, (char)(0x80 | (code & 0x3f)));
}

static void put_rows(const struct dots *d, const struct extent *e, const struct chart_style *style, int rows,
                     int columns, struct buf *out)
{
    for (int row = 0; row < rows; row++) {
        char label[32] = "";
        if (row == 0)
            snprintf(label, sizeof label, "%.4g", e->y1);
        else if (row == rows - 1)
            snprintf(label, sizeof label, "%.4g", e->y0);
        buf_printf(out, "%*s %s", LABEL_WIDTH - 1, label, style->utf8 ? "\xe2\x94\x82" : "|");
        buf_puts(out, style->colour ? "\033[36m" : "");
        for (int column = 0; column < columns; column++) {
            if (style->utf8)
                put_braille(d, column, row, out);
            else
                buf_putc(out, d->set[row * d->width + column] ? '*' : ' ');
        }
        while (out->size && out->data[out->size - 1] == ' ')
            out->data[--out->size] = '\0';
        buf_puts(out, style->colour ? "\033[0m\n" : "\n");
    }
}

static void put_title(const struct curve *c, const struct chart_style *style, struct buf *out)
{
    double last = c->n ? c->y[c->n - 1] : NAN;
    buf_printf(out, "%s%s%s", style->colour ? "\033[1m" : "", c->name, style->colour ? "\033[0m" : "");
    if (c->n)
        buf_printf(out, "  %.6g at %.0f", last, c->x[c->n - 1]);
    if (c->n_nan)
        buf_printf(out, "  (%lld not a number)", (long long)c->n_nan);
    buf_putc(out, '\n');
}

void chart_text(const struct curve *c, const struct chart_style *style, struct buf *out)
{
    int columns = MAX(style->columns, 20) - LABEL_WIDTH - 1, rows = MAX(style->rows, 4);
    struct extent e;
    put_title(c, style, out);
    if (!extent_of(c, &e)) {
        buf_puts(out, "  nothing to draw\n");
        return;
    }
    struct dots d = {.width = columns * (style->utf8 ? 2 : 1), .height = rows * (style->utf8 ? 4 : 1)};
    CLEANUP(freep) unsigned char *set = d.set = xcalloc((size_t)d.width * (size_t)d.height, 1);
    draw(c, &e, &d);
    put_rows(&d, &e, style, rows, columns, out);
    char left[32], right[32];
    snprintf(left, sizeof left, "%.0f", e.x0);
    snprintf(right, sizeof right, "%.0f", e.x1);
    buf_printf(out, "%*s%s%*s\n", LABEL_WIDTH + 1, "", left, MAX(1, columns - (int)strlen(left)), right);
}

/* One curve in a frame whose upper edge is at `top`. */
static void put_panel(const struct curve *c, double top, struct buf *out)
{
    double width = SVG_WIDTH - SVG_LEFT - SVG_RIGHT, height = SVG_HEIGHT - SVG_TOP - SVG_BOTTOM;
    struct extent e;
    buf_printf(out, "<text x=\"%d\" y=\"%.0f\" font-weight=\"bold\">", SVG_LEFT, top - 8);
    buf_puts_xml(out, c->name);
    buf_puts(out, "</text>\n");
    buf_printf(out,
               "<rect x=\"%d\" y=\"%.0f\" width=\"%.0f\" height=\"%.0f\" fill=\"none\" stroke=\"#999\"/>\n",
               SVG_LEFT, top, width, height);
    if (!extent_of(c, &e))
        return;
    static const char label[] = "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"%s\">%.6g</text>\n";
    buf_printf(out, label, SVG_LEFT - 6.0, top + 10, "end", e.y1);
    buf_printf(out, label, SVG_LEFT - 6.0, top + height, "end", e.y0);
    buf_printf(out, label, (double)SVG_LEFT, top + height + 16, "start", e.x0);
    buf_printf(out, label, SVG_LEFT + width, top + height + 16, "end", e.x1);
    buf_puts(out, "<path fill=\"none\" stroke=\"#06c\" stroke-width=\"1.5\" d=\"");
    bool joined = false;
    for (int i = 0; i < c->n; i++) {
        if (isnan(c->y[i])) {
            joined = false;
            continue;
        }
        buf_printf(out, "%c%.2f %.2f", joined ? 'L' : 'M', SVG_LEFT + share(c->x[i], e.x0, e.x1) * width,
                   top + (1 - share(c->y[i], e.y0, e.y1)) * height);
        joined = true;
    }
    buf_puts(out, "\"/>\n");
}

void chart_svg(const struct curve *curves, int n, const char *title, struct buf *out)
{
    int height = MAX(1, n) * SVG_HEIGHT + SVG_TOP;
    buf_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
               "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" "
               "fill=\"#fff\"/>\n<title>",
               SVG_WIDTH, height, SVG_WIDTH, height);
    buf_puts_xml(out, title);
    buf_puts(out, "</title>\n");
    for (int i = 0; i < n; i++)
        put_panel(&curves[i], SVG_TOP + i * SVG_HEIGHT, out);
    buf_puts(out, "</svg>\n");
}
