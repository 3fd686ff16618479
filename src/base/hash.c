#include "base/hash.h"

#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

static void to_hex(const unsigned char *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = '\0';
}

/* struct hash is EVP_MD_CTX under our own name. */
struct hash *hash_new(enum hash_kind kind)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context || !EVP_DigestInit_ex(context, kind == HASH_SHA1 ? EVP_sha1() : EVP_sha256(), NULL))
        abort();
    return (struct hash *)context;
}

void hash_update(struct hash *h, const void *bytes, size_t size)
{
    EVP_DigestUpdate((EVP_MD_CTX *)h, bytes, size);
}

void hash_finish(struct hash *h, char ret_hex[HASH_HEX_MAX])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    EVP_DigestFinal_ex((EVP_MD_CTX *)h, digest, &size);
    to_hex(digest, size, ret_hex);
    hash_free(h);
}

void hash_free(struct hash *h)
{
    EVP_MD_CTX_free((EVP_MD_CTX *)h);
}

void hash_freep(struct hash **h)
{
    hash_free(*h);
    *h = NULL;
}

void hash_bytes(enum hash_kind kind, const void *bytes, size_t size, char ret_hex[HASH_HEX_MAX])
{
    struct hash *h = hash_new(kind);
    hash_update(h, bytes, size);
    hash_finish(h, ret_hex);
}

void random_hex(size_t n_bytes, char *ret_hex)
{
    unsigned char bytes[64];
    while (n_bytes) {
        size_t part = MIN(n_bytes, sizeof(bytes));
        if (getrandom(bytes, part, 0) != (ssize_t)part)
            abort();
        to_hex(bytes, part, ret_hex);
        ret_hex += 2 * part;
        n_bytes -= part;
    }
}

void id_new(char ret_id[ID_MAX])
{
    static atomic_ullong last; /* 48 bits of time, 16 that count from anywhere in the lower half */
    unsigned char start[2];
    if (getrandom(start, sizeof(start), 0) != sizeof(start))
        abort();
    unsigned long long now = (unsigned long long)clock_now_ms() << 16 | (start[0] & 127u) << 8 | start[1];
    unsigned long long before = atomic_load(&last), mine;
    do
        mine = MAX(now, before + 1);
    while (!atomic_compare_exchange_weak(&last, &before, mine));
    snprintf(ret_id, ID_MAX, "%016llx", mine);
    random_hex(8, ret_id + 16);
}

bool id_is_valid(const char *s)
{
    return strlen(s) == ID_MAX - 1 && strspn(s, "0123456789abcdef") == ID_MAX - 1;
}
