/*
 * image_list.h - the text files that name images: one "path label" a line.
 *
 * The label is what follows the last blank, so that paths may hold blanks.
 * Empty lines are passed over; a carriage return before the line's end is
 * dropped.
 */
#ifndef ET_IMAGE_LIST_H
#define ET_IMAGE_LIST_H

#include "base/base.h"

struct image_entry {
    const char *path; /* as written; points into the list */
    int label;
    int line; /* from 1 */
};

struct image_list {
    char *text;
    uint32_t n;
    struct image_entry *entries;
};

/* Errors: NOT_FOUND; INVALID with the line, or when the list is empty; TOO_LARGE. */
enum status image_list_read(const char *path, struct image_list *ret_list, struct error *err);
void image_list_release(struct image_list *list);

#endif
