#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

void secret_hmac(const unsigned char secret[SECRET_BYTES], const char *text, size_t size,
                 char ret_hex[HASH_HEX_MAX])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[32];
    unsigned int n = 0;
    if (!HMAC(EVP_sha256(), secret, SECRET_BYTES, (const unsigned char *)text, size, digest, &n) || n != 32)
        abort();
    for (size_t i = 0; i < 32; i++) {
        ret_hex[2 * i] = digits[digest[i] >> 4];
        ret_hex[2 * i + 1] = digits[digest[i] & 15];
    }
    ret_hex[64] = '\0';
}

bool secret_equal(const char *a, const char *b)
{
    size_t n = strlen(a);
    return n == strlen(b) && CRYPTO_memcmp(a, b, n) == 0;
}

void copy_text(char *out, size_t size, const char *text)
{
    size_t n = MIN(strlen(text), size - 1);
    memcpy(out, text, n);
    out[n] = '\0';
}
