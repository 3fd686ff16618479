/*
 * tree.h - a process and all that descend from it, and what they use.
 */
#ifndef ET_TREE_H
#define ET_TREE_H

#include <sys/types.h>

#include "base/base.h"

struct tree {
    int n;
    pid_t *pids; /* the root first, then its children, and so on */
};
/* The processes that live now below root, root too; none when it is gone. */
void tree_read(pid_t root, struct tree *ret_tree);
void tree_release(struct tree *t);

/*
 * Bytes of memory that they hold: anonymous and shared memory, each page
 * once.  Costs little while that is surely below `enough`.
 */
int64_t tree_memory(const struct tree *t, int64_t enough);

/*
 * Bytes of files that have no name any more but are open: on the disk that
 * `device` is, and in memory (memfd).
 */
void tree_nameless(const struct tree *t, dev_t device, int64_t *ret_disk, int64_t *ret_memory);

/*
 * Bytes on disk below a folder, and files; follows no link, goes into no
 * other file system.  Folders that their owner closed are opened again.
 */
void folder_usage(int folder_fd, int64_t *ret_bytes, int64_t *ret_files);

#endif
