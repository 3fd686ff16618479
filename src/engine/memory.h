/*
 * memory.h - one block of memory for buffers that live at different times.
 *
 *   memory_add, memory_use (at which times is it written or read)
 *   memory_merge (two buffers in one place, one after the other)
 *   memory_allocate -> memory_at
 *
 * A buffer lives from its first use to its last.  Two buffers that live at
 * the same time never overlap.  Everything is 64-byte aligned and zero at
 * first.
 */
#ifndef ET_MEMORY_H
#define ET_MEMORY_H

#include "base/base.h"

struct memory;

struct memory *memory_create(void);
void memory_free(struct memory *m);

int memory_add(struct memory *m, size_t bytes); /* an id, from 0 */
void memory_use(struct memory *m, int id, int time);
/* Its content outlives the run: it shares its place with nobody. */
void memory_fix(struct memory *m, int id);

/*
 * Puts `next` in the place of `buffer`, whose content is read at `time` for
 * the last time, when that of next is written.  Returns false, changing
 * nothing, when buffer is used later, is fixed, or is of another size.
 */
bool memory_merge(struct memory *m, int buffer, int next, int time);

/*
 * Decides the places; memory_total knows then.  reuse false: every buffer has
 * its own.  Errors: TOO_LARGE.
 */
enum status memory_lay_out(struct memory *m, bool reuse, struct error *err);
/* memory_lay_out, and the memory itself.  Errors: TOO_LARGE, with the bytes. */
enum status memory_allocate(struct memory *m, bool reuse, struct error *err);
/*
 * memory_allocate in the pages of `lender`, which outlives m, when they are
 * enough; else pages of its own.  What others that borrow there write is then
 * in m, and what m writes in them: they are used one at a time.
 */
enum status memory_borrow(struct memory *m, bool reuse, const struct memory *lender, struct error *err);
/* Makes every buffer 0 that memory_fix was told of. */
void memory_clear_fixed(struct memory *m);
bool memory_is_borrowed(const struct memory *m);
void *memory_at(const struct memory *m, int id);
size_t memory_total(const struct memory *m);

/* Zeroed pages from the system, for anything big; NULL when there are none. */
void *memory_pages(size_t bytes);
void memory_pages_free(void *pages, size_t bytes);

#endif
