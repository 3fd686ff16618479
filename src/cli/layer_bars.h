/*
 * layer_bars.h - the average time of each layer as bars, for a terminal and
 * as SVG.  times: a training job's layer-times.
 */
#ifndef ET_LAYER_BARS_H
#define ET_LAYER_BARS_H

#include "base/buf.h"
#include "base/json.h"
#include "cli/chart.h"

void layer_bars_text(const json_t *times, const struct chart_style *style, struct buf *out);
void layer_bars_svg(const json_t *times, const char *title, struct buf *out);

#endif
