/*
 * hash.h - digests (OpenSSL's EVP), random tokens, and ids.
 */
#ifndef ET_HASH_H
#define ET_HASH_H

#include "base/base.h"

enum hash_kind { HASH_SHA1, HASH_SHA256 };
#define HASH_HEX_MAX 65 /* 64 hex digits and a NUL; SHA-1 takes 41 */

struct hash; /* a digest under way */
struct hash *hash_new(enum hash_kind kind);
void hash_update(struct hash *h, const void *bytes, size_t size);
/* Writes the digest in lower-case hex and frees h. */
void hash_finish(struct hash *h, char ret_hex[HASH_HEX_MAX]);
void hash_free(struct hash *h);
void hash_freep(struct hash **h);

void hash_bytes(enum hash_kind kind, const void *bytes, size_t size, char ret_hex[HASH_HEX_MAX]);

#define ID_MAX 33
/*
 * A new document id: 32 hex digits, the first 12 the time in milliseconds,
 * so that ids sort by age, those of one process exactly; the rest random.
 */
void id_new(char ret_id[ID_MAX]);
bool id_is_valid(const char *s); /* exactly 32 lower-case hex digits */

/* n_bytes random bytes in hex; ret_hex takes 2 * n_bytes + 1. */
void random_hex(size_t n_bytes, char *ret_hex);

#endif
