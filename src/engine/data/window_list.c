#include "engine/data/window_list.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

#define LIST_MAX_BYTES (1u << 30)
#define COORDINATE_MAX 1000000

struct reader {
    const char *path;
    char *at;
    int line;      /* of `at` */
    int word_line; /* of the word that was read last */
};

void window_list_release(struct window_list *list)
{
    free(list->text);
    free(list->images);
    free(list->foreground);
    free(list->background);
    *list = (struct window_list){0};
}

/* The next word, ended in place; NULL at the end. */
static char *next_word(struct reader *r)
{
    static const char blanks[] = " \t\r\n\v\f";
    while (*r->at && strchr(blanks, *r->at))
        r->line += *r->at++ == '\n';
    r->word_line = r->line;
    if (!*r->at)
        return NULL;
    char *word = r->at;
    r->at += strcspn(r->at, blanks);
    if (*r->at) {
        r->line += *r->at == '\n';
        *r->at++ = '\0';
    }
    return word;
}

static enum status bad_word(const struct reader *r, const char *word, const char *wanted, struct error *err)
{
    return error_set_at(err, INVALID, r->word_line, 0,
                        "line %d of window file '%s': %s%s%s where %s should be", r->word_line, r->path,
                        word ? "'" : "the end", word ? word : "", word ? "'" : "", wanted);
}

static enum status read_int(struct reader *r, const char *wanted, int min, int max, int *ret_value,
                            struct error *err)
{
    char *word = next_word(r), *end;
    if (!word)
        return bad_word(r, NULL, wanted, err);
    errno = 0;
    long value = strtol(word, &end, 10);
    if (end == word || *end || errno || value < min || value > max)
        return bad_word(r, word, wanted, err);
    *ret_value = (int)value;
    return OK;
}

static enum status read_overlap(struct reader *r, float *ret_value, struct error *err)
{
    char *word = next_word(r), *end;
    if (!word)
        return bad_word(r, NULL, "an overlap", err);
    *ret_value = strtof(word, &end);
    if (end == word || *end || isnan(*ret_value))
        return bad_word(r, word, "an overlap", err);
    return OK;
}

/* Arrays double when n reaches a power of two. */
static void *grown(void *array, uint32_t n, size_t size)
{
    return (n & (n - 1)) ? array : xrealloc(array, (n ? 2 * (size_t)n : 1) * size);
}

static enum status read_window(struct reader *r, struct window_list *list, uint32_t image, float fg, float bg,
                               struct error *err)
{
    struct window w = {.image = image};
    float overlap = 0;
    TRY(read_int(r, "a label", INT_MIN, INT_MAX, &w.label, err));
    w.line = r->word_line;
    TRY(read_overlap(r, &overlap, err));
    int *const corners[] = {&w.x1, &w.y1, &w.x2, &w.y2};
    for (int i = 0; i < 4; i++)
        TRY(read_int(r, "a coordinate", -COORDINATE_MAX, COORDINATE_MAX, corners[i], err));
    if (w.x2 < w.x1 || w.y2 < w.y1)
        return error_set_at(err, INVALID, w.line, 0,
                            "line %d of window file '%s': the window from (%d, %d) to (%d, %d) is empty",
                            w.line, r->path, w.x1, w.y1, w.x2, w.y2);
    if (overlap >= fg) {
        if (w.label <= 0)
            return error_set_at(
                err, INVALID, w.line, 0,
                "line %d of window file '%s': label %d of a foreground window; it must be above 0", w.line,
                r->path, w.label);
        list->foreground = grown(list->foreground, list->n_foreground, sizeof(w));
        list->foreground[list->n_foreground++] = w;
    } else if (overlap < bg) {
        w.label = 0;
        list->background = grown(list->background, list->n_background, sizeof(w));
        list->background[list->n_background++] = w;
    }
    return OK;
}

/* The images come in the order of their indices. */
static enum status read_image(struct reader *r, struct window_list *list, float fg, float bg,
                              struct error *err)
{
    int index, channels, height, width, n_windows;
    TRY(read_int(r, "an image's index", 0, INT_MAX, &index, err));
    if ((uint32_t)index != list->n_images)
        return error_set_at(err, INVALID, r->word_line, 0,
                            "line %d of window file '%s': image %d, but it is number %u of the file",
                            r->word_line, r->path, index, list->n_images);
    char *path = next_word(r);
    if (!path)
        return bad_word(r, NULL, "the path of an image", err);
    TRY(read_int(r, "3 channels", 3, 3, &channels, err));
    TRY(read_int(r, "a height", 1, COORDINATE_MAX, &height, err));
    TRY(read_int(r, "a width", 1, COORDINATE_MAX, &width, err));
    TRY(read_int(r, "the number of windows", 0, INT_MAX, &n_windows, err));
    uint32_t image = list->n_images;
    list->images = grown(list->images, image, sizeof(*list->images));
    list->images[list->n_images++] = path;
    for (int i = 0; i < n_windows; i++)
        TRY(read_window(r, list, image, fg, bg, err));
    return OK;
}

static enum status check_sets(const struct window_list *list, const char *path, struct error *err)
{
    if (list->n_foreground && list->n_background)
        return OK;
    return error_set(err, INVALID,
                     "window file '%s' has %u foreground and %u background windows; both are needed", path,
                     list->n_foreground, list->n_background);
}

enum status window_list_read(const char *path, float fg, float bg, struct window_list *ret_list,
                             struct error *err)
{
    CLEANUP(window_list_release) struct window_list list = {0};
    size_t size;
    TRY(file_read(path, LIST_MAX_BYTES, &list.text, &size, err));
    struct reader r = {.path = path, .at = list.text, .line = 1};
    for (char *word; (word = next_word(&r));) {
        if (strcmp(word, "#") != 0)
            return bad_word(&r, word, "'#' and an image's index", err);
        TRY(read_image(&r, &list, fg, bg, err));
    }
    TRY(check_sets(&list, path, err));
    *ret_list = list;
    list = (struct window_list){0};
    return OK;
}
