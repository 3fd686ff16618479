/*
 * size.h - amounts of bytes in words.
 */
#ifndef ET_SIZE_H
#define ET_SIZE_H

#include "base/base.h"

/* "16G", "512M", "1000" (K, M, G, T are powers of 1024), at least 1.  false: it is none. */
bool size_read(const char *text, int64_t *ret_bytes);

#define SIZE_TEXT_MAX 24
/* "1.5 GiB", "512 MiB", "100 bytes".  Returns out. */
const char *size_text(int64_t bytes, char out[SIZE_TEXT_MAX]);

#endif
