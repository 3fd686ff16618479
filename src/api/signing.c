/* signing.c - secrets of webhooks, and what they sign. */
#include <sodium.h>
#include <string.h>

#include "api/sender.h"

#define SECRET_BYTES     32
#define SECRET_BYTES_MIN 24
#define SECRET_BYTES_MAX 64

void webhook_secret_new(char *ret_secret, size_t size)
{
    unsigned char bytes[SECRET_BYTES];
    char text[sodium_base64_ENCODED_LEN(SECRET_BYTES, sodium_base64_VARIANT_ORIGINAL)];
    randombytes_buf(bytes, sizeof(bytes));
    sodium_bin2base64(text, sizeof(text), bytes, sizeof(bytes), sodium_base64_VARIANT_ORIGINAL);
    snprintf(ret_secret, size, "%s%s", WEBHOOK_SECRET_PREFIX, text);
    sodium_memzero(bytes, sizeof(bytes));
}

static enum status read_secret(const char *secret, unsigned char bytes[SECRET_BYTES_MAX], size_t *ret_size,
                               struct error *err)
{
    size_t prefix = sizeof(WEBHOOK_SECRET_PREFIX) - 1;
    if (strncmp(secret, WEBHOOK_SECRET_PREFIX, prefix) ||
        sodium_base642bin(bytes, SECRET_BYTES_MAX, secret + prefix, strlen(secret + prefix), NULL, ret_size,
                          NULL, sodium_base64_VARIANT_ORIGINAL) ||
        *ret_size < SECRET_BYTES_MIN)
        return error_set(err, INVALID, "a webhook's secret is '%s' and %d to %d bytes in Base64",
                         WEBHOOK_SECRET_PREFIX, SECRET_BYTES_MIN, SECRET_BYTES_MAX);
    return OK;
}

enum status webhook_secret_check(const char *secret, struct error *err)
{
    unsigned char bytes[SECRET_BYTES_MAX];
    size_t size;
    enum status status = read_secret(secret, bytes, &size, err);
    sodium_memzero(bytes, sizeof(bytes));
    return status;
}

enum status webhook_sign(const char *secret, const char *id, int64_t seconds, const char *body,
                         char ret_signature[WEBHOOK_SIGNATURE_MAX], struct error *err)
{
    unsigned char key[SECRET_BYTES_MAX], mac[crypto_auth_hmacsha256_BYTES];
    char text[sodium_base64_ENCODED_LEN(sizeof(mac), sodium_base64_VARIANT_ORIGINAL)];
    size_t size;
    TRY(read_secret(secret, key, &size, err));
    char head[80];
    int n = snprintf(head, sizeof(head), "%s.%lld.", id, (long long)seconds);
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, key, size);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)head, (size_t)n);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)body, strlen(body));
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_memzero(key, sizeof(key));
    sodium_bin2base64(text, sizeof(text), mac, sizeof(mac), sodium_base64_VARIANT_ORIGINAL);
    snprintf(ret_signature, WEBHOOK_SIGNATURE_MAX, "v1,%s", text);
    return OK;
}
