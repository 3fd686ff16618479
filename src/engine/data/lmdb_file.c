#include "engine/data/lmdb_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum {
    HEADER_SIZE = 16, /* of a page */
    NODE_SIZE = 8,    /* of a node, without key and value */
    DEPTH_MAX = 32,   /* of LMDB's cursors */
    PAGE_MIN = 256,
    PAGE_MAX = 65536,
    FIRST_PAGE = 2, /* after the meta pages */
};

enum { IS_BRANCH = 1, IS_LEAF = 2, IS_META = 8, NOT_STORED = 0xc010 }; /* flags of pages */
enum { IS_LARGE = 1 };        /* flag of nodes: the value has pages */
enum { KEYS_MAY_BE = 2 | 8 }; /* flags of a tree: keys reversed, or integers */

#define MAGIC   0xbeefc0deu
#define VERSION 1u
#define NO_ROOT UINT64_MAX

struct tree {
    uint32_t pad; /* the page size, in the first of a meta page's two */
    uint16_t flags, depth;
    uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
};

/* A meta page behind its header. */
struct meta {
    uint32_t magic, version;
    uint64_t address, map_size;
    struct tree trees[2]; /* free pages, records */
    uint64_t last_page, transaction;
};

struct page_header {
    uint64_t number;
    uint16_t pad, flags, lower, upper;
};

struct node {
    uint16_t low, high, flags, key_size;
};

struct walk {
    int fd;
    const char *path;
    size_t page_size;
    uint64_t n_pages, n_visited;
    unsigned depth;
};

static enum status damaged(const char *path, const char *what, uint64_t page, struct error *err)
{
    return error_set(err, INVALID, "lmdb '%s' is damaged: page %llu %s", path, (unsigned long long)page,
                     what);
}

static enum status read_at(int fd, const char *path, void *bytes, size_t size, uint64_t at, struct error *err)
{
    ssize_t n = pread(fd, bytes, size, (off_t)at);
    if (n < 0)
        return error_set(err, status_from_errno(errno), "cannot read '%s': %s", path, strerror(errno));
    if ((size_t)n != size)
        return error_set(err, INVALID, "lmdb '%s' is cut short at byte %llu", path,
                         (unsigned long long)at + (unsigned long long)n);
    return OK;
}

static enum status read_meta(int fd, const char *path, int number, size_t page_size, struct meta *ret_meta,
                             struct error *err)
{
    struct {
        struct page_header header;
        struct meta meta;
    } page;
    TRY(read_at(fd, path, &page, sizeof(page), (uint64_t)number * page_size, err));
    if (!(page.header.flags & IS_META) || page.meta.magic != MAGIC || page.meta.version != VERSION)
        return error_set(err, INVALID, "'%s' is no lmdb file of version %u", path, VERSION);
    *ret_meta = page.meta;
    return OK;
}

/* The one that LMDB goes by: of the later transaction, which must be where its number says. */
static enum status choose_meta(int fd, const char *path, struct meta *ret_meta, struct error *err)
{
    struct meta metas[2];
    TRY(read_meta(fd, path, 0, 0, &metas[0], err));
    uint32_t size = metas[0].trees[0].pad;
    if (size < PAGE_MIN || size > PAGE_MAX || (size & (size - 1)))
        return error_set(err, INVALID, "lmdb '%s' is damaged: pages of %u bytes", path, size);
    TRY(read_meta(fd, path, 1, size, &metas[1], err));
    int chosen = metas[0].transaction < metas[1].transaction;
    if (metas[1].trees[0].pad != size || (metas[chosen].transaction & 1) != (uint64_t)chosen)
        return damaged(path, "is no meta page of its neighbour", (uint64_t)chosen, err);
    *ret_meta = metas[chosen];
    return OK;
}

static struct node node_at(const char *page, size_t at)
{
    struct node node;
    memcpy(&node, page + at, sizeof(node));
    return node;
}

static bool in_file(const struct walk *w, uint64_t first, uint64_t n)
{
    return first >= FIRST_PAGE && first < w->n_pages && n <= w->n_pages - first;
}

/* Pages of a value that has its own, header included. */
static uint64_t pages_of(const struct walk *w, uint64_t size)
{
    return (size + HEADER_SIZE + w->page_size - 1) / w->page_size;
}

static bool leaf_node_is_good(const struct walk *w, const char *page, size_t at)
{
    struct node node = node_at(page, at);
    uint64_t size = node.low | (uint64_t)node.high << 16, room = w->page_size - at - NODE_SIZE, first;
    if (node.flags & ~IS_LARGE || node.key_size > room)
        return false;
    room -= node.key_size;
    if (!(node.flags & IS_LARGE))
        return size <= room;
    if (room < sizeof(first))
        return false;
    memcpy(&first, page + at + NODE_SIZE + node.key_size, sizeof(first));
    return in_file(w, first, pages_of(w, size));
}

static enum status check_page(struct walk *w, uint64_t number, unsigned level, struct error *err);

static enum status check_child(struct walk *w, const char *page, size_t at, unsigned level, struct error *err)
{
    struct node node = node_at(page, at);
    return check_page(w, node.low | (uint64_t)node.high << 16 | (uint64_t)node.flags << 32, level + 1, err);
}

static enum status check_nodes(struct walk *w, uint64_t number, const char *page, size_t n, unsigned level,
                               struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t at;
        memcpy(&at, page + HEADER_SIZE + i * sizeof(at), sizeof(at));
        if (at < HEADER_SIZE || at + (size_t)NODE_SIZE > w->page_size)
            return damaged(w->path, "has a node outside it", number, err);
        if (level < w->depth)
            TRY(check_child(w, page, at, level, err));
        else if (!leaf_node_is_good(w, page, at))
            return damaged(w->path, "has a record that cannot be", number, err);
    }
    return OK;
}

static enum status check_page(struct walk *w, uint64_t number, unsigned level, struct error *err)
{
    if (!in_file(w, number, 1) || ++w->n_visited > w->n_pages)
        return damaged(w->path, "cannot belong to the tree", number, err);
    CLEANUP(freep) char *page = xmalloc(w->page_size);
    TRY(read_at(w->fd, w->path, page, w->page_size, number * w->page_size, err));
    struct page_header header;
    memcpy(&header, page, sizeof(header));
    unsigned is = header.flags & ~NOT_STORED, n = header.lower < HEADER_SIZE ? 0 : header.lower - HEADER_SIZE;
    n /= sizeof(uint16_t);
    if (header.number != number || is != (level < w->depth ? IS_BRANCH : IS_LEAF))
        return damaged(w->path, "is not what its place in the tree asks", number, err);
    if (n < (level < w->depth ? 2 : 1) || header.lower > w->page_size)
        return damaged(w->path, "has a number of nodes that cannot be", number, err);
    return check_nodes(w, number, page, n, level, err);
}

static enum status check_tree(int fd, const char *path, const struct meta *meta, struct error *err)
{
    const struct tree *records = &meta->trees[1];
    size_t page_size = meta->trees[0].pad;
    struct stat st;
    if (fstat(fd, &st))
        return error_set(err, status_from_errno(errno), "cannot read '%s': %s", path, strerror(errno));
    uint64_t n_there = (uint64_t)st.st_size / page_size;
    if (meta->last_page >= n_there)
        return error_set(err, INVALID, "lmdb '%s' is cut short: %lld bytes of %llu pages of %zu", path,
                         (long long)st.st_size, (unsigned long long)meta->last_page + 1, page_size);
    if (records->flags & ~KEYS_MAY_BE)
        return error_set(err, INVALID,
                         "lmdb '%s' holds several values a key, which is no database of Caffe's", path);
    if (records->root == NO_ROOT)
        return OK;
    if (records->depth < 1 || records->depth > DEPTH_MAX)
        return error_set(err, INVALID, "lmdb '%s' is damaged: a tree %u deep", path, records->depth);
    struct walk w = {fd, path, page_size, meta->last_page + 1, 0, records->depth};
    return check_page(&w, records->root, 1, err);
}

enum status lmdb_file_check(const char *folder, struct error *err)
{
    CLEANUP(freep) char *path = path_join(folder, "data.mdb");
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct meta meta = {0};
    if (fd < 0)
        return error_set(err, status_from_errno(errno), "cannot open lmdb '%s': %s", folder, strerror(errno));
    TRY(choose_meta(fd, path, &meta, err));
    return check_tree(fd, path, &meta, err);
}
