/*
 * window_list.h - R-CNN's window files: images, and boxes in them.
 *
 *   # INDEX
 *   PATH
 *   CHANNELS HEIGHT WIDTH
 *   N
 *   LABEL OVERLAP X1 Y1 X2 Y2     (N times; pixels, both ends inside)
 *
 * and so on for every image; blanks and line ends part the words.
 */
#ifndef ET_WINDOW_LIST_H
#define ET_WINDOW_LIST_H

#include "base/base.h"

struct window {
    uint32_t image; /* of the list's */
    int label;      /* 0 in the background */
    int x1, y1, x2, y2;
    int line; /* from 1 */
};

struct window_list {
    char *text;
    uint32_t n_images;
    const char **images; /* paths as written; point into text */
    uint32_t n_foreground, n_background;
    struct window *foreground, *background;
};

/*
 * A window whose overlap is at least fg is of the foreground, else below bg
 * of the background, else left out.
 * Errors: NOT_FOUND; INVALID with the line, or when either set is empty; TOO_LARGE.
 */
enum status window_list_read(const char *path, float fg, float bg, struct window_list *ret_list,
                             struct error *err);
void window_list_release(struct window_list *list);

#endif
