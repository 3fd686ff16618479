/*
 * labels.h - which label an image has: the name of the folder that it lies
 * in.  Labels are numbered in order of first appearance.
 */
#ifndef ET_LABELS_H
#define ET_LABELS_H

#include <jansson.h>

#include "base/base.h"

enum { SIDE_TRAINING, SIDE_TEST };

struct label {
    char *name;
    char *folder;        /* in the archive that is read now; NULL: not seen in it */
    int64_t n_images[2]; /* readable ones, a side */
    int64_t n_unreadable;
    char *unreadable; /* path of the first of those, and why */
};

struct labels {
    int n;
    struct label *items;
    json_t *by_name, *by_folder; /* index into items */
};

void labels_init(struct labels *l);
void labels_release(struct labels *l);

/* A further archive begins: its folders may lie elsewhere than those of the one before. */
void labels_begin_archive(struct labels *l);

/*
 * The label of path ("A/x.png" -> "A"), new when its folder is.  *ret_label
 * is an index.  Errors: INVALID for a file in no folder, and for a folder
 * named like another one elsewhere in the same archive.
 */
enum status labels_of_path(struct labels *l, const char *path, int *ret_label, struct error *err);

/* An array of the names, in order. */
json_t *labels_json(const struct labels *l);

/*
 * Where an image goes that is to be divided, so that a label's images keep
 * the same share on both sides: to training when
 * n_training * test_share <= n_test * training_share.
 * Shares are exact to the sixth decimal.
 */
int labels_side(const struct label *label, double training_share, double test_share);

#endif
