#include "engine/data/image_list.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

#define LIST_MAX_BYTES (1u << 30)

void image_list_release(struct image_list *list)
{
    free(list->text);
    free(list->entries);
    *list = (struct image_list){0};
}

/* line is cut in place at its last blank. */
static enum status read_line(char *line, int number, const char *list, struct image_entry *ret_entry,
                             struct error *err)
{
    char *blank = strrchr(line, ' ');
    if (!blank || blank == line)
        return error_set_at(err, INVALID, number, 0, "line %d of list '%s' is '%s'; 'path label' is needed",
                            number, list, line);
    char *end;
    errno = 0;
    long label = strtol(blank + 1, &end, 10);
    if (end == blank + 1 || *end || errno || label < INT_MIN || label > INT_MAX)
        return error_set_at(err, INVALID, number, 0, "line %d of list '%s': label '%s' is not a whole number",
                            number, list, blank + 1);
    *blank = '\0';
    *ret_entry = (struct image_entry){line, (int)label, number};
    return OK;
}

static enum status read_lines(struct image_list *list, const char *path, struct error *err)
{
    size_t allocated = 0;
    int number = 0;
    for (char *line = list->text, *next; line; line = next) {
        number++;
        next = strchr(line, '\n');
        char *end = next ? next : line + strlen(line);
        if (next)
            *next++ = '\0';
        if (end > line && end[-1] == '\r')
            *--end = '\0';
        if (end == line)
            continue;
        if (list->n == allocated) {
            allocated = allocated ? allocated * 2 : 1024;
            list->entries = xrealloc(list->entries, allocated * sizeof(*list->entries));
        }
        TRY(read_line(line, number, path, &list->entries[list->n], err));
        list->n++;
    }
    if (!list->n)
        return error_set(err, INVALID, "list '%s' names no image", path);
    return OK;
}

enum status image_list_read(const char *path, struct image_list *ret_list, struct error *err)
{
    CLEANUP(image_list_release) struct image_list list = {0};
    size_t size;
    TRY(file_read(path, LIST_MAX_BYTES, &list.text, &size, err));
    TRY(read_lines(&list, path, err));
    *ret_list = list;
    list = (struct image_list){0};
    return OK;
}
