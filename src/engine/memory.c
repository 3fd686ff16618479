#include "engine/memory.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/kernel.h"

struct buffer {
    size_t bytes;
    int first, last;
    bool fixed;
    int place; /* id of the buffer that it is merged into; its own when it is not */
    size_t offset;
};

struct memory {
    int n, allocated;
    struct buffer *buffers;
    size_t total;
    char *pages;
    bool is_borrowed;
};

void *memory_pages(size_t bytes)
{
    if (bytes == 0)
        bytes = 1;
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    madvise(pages, bytes, MADV_HUGEPAGE);
    return pages;
}

void memory_pages_free(void *pages, size_t bytes)
{
    if (pages)
        munmap(pages, bytes ? bytes : 1);
}

struct memory *memory_create(void)
{
    return xcalloc(1, sizeof(struct memory));
}

void memory_free(struct memory *m)
{
    if (!m)
        return;
    if (!m->is_borrowed)
        memory_pages_free(m->pages, m->total);
    free(m->buffers);
    free(m);
}

int memory_add(struct memory *m, size_t bytes)
{
    if (m->n == m->allocated) {
        m->allocated = m->allocated ? 2 * m->allocated : 64;
        m->buffers = xrealloc(m->buffers, (size_t)m->allocated * sizeof(m->buffers[0]));
    }
    m->buffers[m->n] =
        (struct buffer){.bytes = kernel_align(bytes), .first = INT_MAX, .last = -1, .place = m->n};
    return m->n++;
}

static int place_of(const struct memory *m, int id)
{
    while (m->buffers[id].place != id)
        id = m->buffers[id].place;
    return id;
}

void memory_use(struct memory *m, int id, int time)
{
    struct buffer *b = &m->buffers[place_of(m, id)];
    b->first = MIN(b->first, time);
    b->last = MAX(b->last, time);
}

void memory_fix(struct memory *m, int id)
{
    m->buffers[place_of(m, id)].fixed = true;
}

bool memory_merge(struct memory *m, int buffer, int next, int time)
{
    int to = place_of(m, buffer), from = place_of(m, next);
    struct buffer *into = &m->buffers[to], *b = &m->buffers[from];
    if (to == from || into->fixed || b->fixed || into->bytes != b->bytes || into->last > time ||
        b->first < time)
        return false;
    into->last = MAX(into->last, b->last);
    b->place = to;
    return true;
}

static bool live_together(const struct buffer *a, const struct buffer *b)
{
    return a->fixed || b->fixed || (a->first <= b->last && b->first <= a->last);
}

/* The lowest place of b.bytes between those of `placed` (by offset) that live when b does. */
static size_t lowest_place(const struct buffer *b, struct buffer *const *placed, int n)
{
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        const struct buffer *other = placed[i];
        if (!live_together(b, other))
            continue;
        if (at + b->bytes <= other->offset)
            break;
        at = MAX(at, other->offset + other->bytes);
    }
    return at;
}

static int by_size(const void *a, const void *b)
{
    const struct buffer *x = *(struct buffer *const *)a, *y = *(struct buffer *const *)b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return (x > y) - (x < y);
}

/* Big ones first, each as low as it fits: within a few percent of the best on nets. */
static void place_by_lifetime(struct memory *m, struct buffer **order, int n)
{
    CLEANUP(freep) struct buffer **placed = xcalloc((size_t)n + 1, sizeof(*placed));
    qsort(order, (size_t)n, sizeof(*order), by_size);
    for (int i = 0; i < n; i++) {
        struct buffer *b = order[i];
        b->offset = lowest_place(b, placed, i);
        m->total = MAX(m->total, b->offset + b->bytes);
        int j = i;
        for (; j > 0 && placed[j - 1]->offset > b->offset; j--)
            placed[j] = placed[j - 1];
        placed[j] = b;
    }
}

enum status memory_lay_out(struct memory *m, bool reuse, struct error *err)
{
    CLEANUP(freep) struct buffer **order = xcalloc((size_t)m->n + 1, sizeof(*order));
    int n = 0;
    size_t sum = 0;
    for (int i = 0; i < m->n; i++) {
        if (m->buffers[i].place != i)
            continue;
        order[n++] = &m->buffers[i];
        m->buffers[i].offset = sum;
        if (__builtin_add_overflow(sum, m->buffers[i].bytes, &sum) || sum > SIZE_MAX / 4)
            return error_set(err, TOO_LARGE, "the net's blobs need more memory than there can be");
    }
    if (reuse)
        place_by_lifetime(m, order, n);
    else
        m->total = sum;
    return OK;
}

static enum status take_pages(struct memory *m, struct error *err)
{
    m->pages = memory_pages(m->total);
    if (!m->pages) {
        size_t total = m->total;
        m->total = 0;
        return error_set(err, TOO_LARGE, "the net's blobs need %zu bytes of memory", total);
    }
    return OK;
}

enum status memory_allocate(struct memory *m, bool reuse, struct error *err)
{
    TRY(memory_lay_out(m, reuse, err));
    return take_pages(m, err);
}

enum status memory_borrow(struct memory *m, bool reuse, const struct memory *lender, struct error *err)
{
    TRY(memory_lay_out(m, reuse, err));
    m->is_borrowed = m->total <= lender->total;
    if (!m->is_borrowed)
        return take_pages(m, err);
    m->pages = lender->pages;
    return OK;
}

void memory_clear_fixed(struct memory *m)
{
    for (int i = 0; i < m->n; i++)
        if (m->buffers[i].fixed)
            memset(memory_at(m, i), 0, m->buffers[i].bytes);
}

bool memory_is_borrowed(const struct memory *m)
{
    return m->is_borrowed;
}

void *memory_at(const struct memory *m, int id)
{
    assert(m->pages);
    return m->pages + m->buffers[place_of(m, id)].offset;
}

size_t memory_total(const struct memory *m)
{
    return m->total;
}
