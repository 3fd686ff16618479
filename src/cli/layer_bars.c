#include "cli/layer_bars.h"

#include <string.h>

enum { NAME_WIDTH = 28, NUMBERS_WIDTH = 30 };

/* Pixels. */
enum { ROW = 22, LEFT = 260, BAR = 560, RIGHT = 260, TOP = 52 };

struct layer_bar {
    const char *name, *type; /* lent by the JSON */
    double forward_us, backward_us;
};

static struct layer_bar bar_of(const json_t *one)
{
    return (struct layer_bar){
        .name = json_get_string(one, "layer", ""),
        .type = json_get_string(one, "type", ""),
        .forward_us = json_number_value(json_object_get(one, "forward-us")),
        .backward_us = json_number_value(json_object_get(one, "backward-us")),
    };
}

/* The longest bar, and all together, in microseconds; never 0. */
static void measure(const json_t *times, double *ret_longest, double *ret_all)
{
    double longest = 1e-9, all = 1e-9;
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)times, i, one) {
        struct layer_bar b = bar_of(one);
        longest = MAX(longest, b.forward_us + b.backward_us);
        all += b.forward_us + b.backward_us;
    }
    *ret_longest = longest;
    *ret_all = all;
}

static void put_times(int n, const char *what, struct buf *out)
{
    for (int i = 0; i < n; i++)
        buf_puts(out, what);
}

void layer_bars_text(const json_t *times, const struct chart_style *style, struct buf *out)
{
    double longest, all;
    size_t i;
    json_t *one;
    int columns = MAX(style->columns - NAME_WIDTH - NUMBERS_WIDTH - 2, 10);
    measure(times, &longest, &all);
    buf_printf(out, "%-*s %*s\n", NAME_WIDTH, "layer", columns + NUMBERS_WIDTH + 1,
               "forward + backward ms   share");
    json_array_foreach((json_t *)times, i, one) {
        struct layer_bar b = bar_of(one);
        int forward = (int)(b.forward_us / longest * columns + 0.5);
        int both = (int)((b.forward_us + b.backward_us) / longest * columns + 0.5);
        buf_printf(out, "%-*.*s ", NAME_WIDTH, NAME_WIDTH, b.name);
        put_times(forward, style->utf8 ? "█" : "#", out);
        put_times(both - forward, style->utf8 ? "▒" : "=", out);
        put_times(columns - both, " ", out);
        buf_printf(out, " %10.3f + %8.3f %6.1f%%\n", b.forward_us / 1e3, b.backward_us / 1e3,
                   100 * (b.forward_us + b.backward_us) / all);
    }
    buf_printf(out, "%-*s %*.3f ms a pass\n", NAME_WIDTH, "all layers", columns + 14, all / 1e3);
}

void layer_bars_svg(const json_t *times, const char *title, struct buf *out)
{
    double longest, all;
    size_t i;
    json_t *one;
    int width = LEFT + BAR + RIGHT, height = TOP + ROW * (int)json_array_size(times) + 20;
    measure(times, &longest, &all);
    buf_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
               "font-family=\"sans-serif\" font-size=\"12\">\n"
               "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
               "<text x=\"20\" y=\"30\" font-weight=\"bold\" font-size=\"15\">",
               width, height, width, height);
    buf_puts_xml(out, title);
    buf_printf(out, ": %.3f ms a pass (dark: forward, light: backward)</text>\n", all / 1e3);
    json_array_foreach((json_t *)times, i, one) {
        struct layer_bar b = bar_of(one);
        int y = TOP + ROW * (int)i;
        double forward = b.forward_us / longest * BAR, backward = b.backward_us / longest * BAR;
        buf_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", LEFT - 8, y + 13);
        buf_puts_xml(out, b.name);
        buf_printf(out,
                   "</text>\n<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"16\" fill=\"#3f7f52\"/>\n"
                   "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"16\" fill=\"#a9d2b4\"/>\n"
                   "<text x=\"%.1f\" y=\"%d\">%.3f + %.3f ms, %.1f %%, ",
                   LEFT, y, forward, LEFT + forward, y, backward, LEFT + forward + backward + 6, y + 13,
                   b.forward_us / 1e3, b.backward_us / 1e3, 100 * (b.forward_us + b.backward_us) / all);
        buf_puts_xml(out, b.type);
        buf_puts(out, "</text>\n");
    }
    buf_puts(out, "</svg>\n");
}
