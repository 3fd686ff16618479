/* users.c - users and their passwords. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

#define ARGON_PASSES  2
#define ARGON_BYTES   (19 * 1024 * 1024)
#define ARGON_AT_ONCE 4

#define CACHE_SIZE 256
#define CACHE_MS   60000

/* A hash of nothing, with the same work: an unknown name takes as long as a wrong password. */
static const char no_hash[] = "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IHRvIHVzZQ$"
                              "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/*
 * Passwords that were right less than a minute ago, as HMACs of name and password under a key of this
 * process.
 */
struct password_cache {
    unsigned char key[SECRET_BYTES];
    sem_t computing;
    pthread_mutex_t lock; /* guards what follows */
    uint64_t changes;     /* of passwords: one computed before a change is not remembered after it */
    struct {
        char owner[OWNER_MAX];
        char mac[HASH_HEX_MAX];
        int64_t until_ms;
    } entries[CACHE_SIZE];
};

struct password_cache *password_cache_new(void)
{
    struct password_cache *cache = xcalloc(1, sizeof(*cache));
    randombytes_buf(cache->key, sizeof(cache->key));
    sem_init(&cache->computing, 0, ARGON_AT_ONCE);
    pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

void password_cache_free(struct password_cache *cache)
{
    if (!cache)
        return;
    sem_destroy(&cache->computing);
    pthread_mutex_destroy(&cache->lock);
    sodium_memzero(cache, sizeof(*cache));
    free(cache);
}

static void cache_mac(const struct password_cache *cache, const char *owner, const char *password,
                      char ret_mac[HASH_HEX_MAX])
{
    CLEANUP(freep) char *text = xasprintf("%s\n%s", owner, password);
    size_t size = strlen(text);
    secret_hmac(cache->key, text, size, ret_mac);
    sodium_memzero(text, size);
}

/* The first 32 bits of the MAC choose the place. */
static size_t cache_place(const char *mac)
{
    char digits[9] = {0};
    memcpy(digits, mac, 8);
    return strtoul(digits, NULL, 16) % CACHE_SIZE;
}

static bool cache_has(struct password_cache *cache, const char *mac, int64_t now_ms, uint64_t *ret_changes)
{
    size_t i = cache_place(mac);
    pthread_mutex_lock(&cache->lock);
    int64_t left_ms = cache->entries[i].until_ms - now_ms;
    bool has = left_ms > 0 && left_ms <= CACHE_MS && secret_equal(cache->entries[i].mac, mac);
    *ret_changes = cache->changes;
    pthread_mutex_unlock(&cache->lock);
    return has;
}

static void cache_add(struct password_cache *cache, const char *owner, const char *mac, int64_t now_ms,
                      uint64_t changes)
{
    size_t i = cache_place(mac);
    pthread_mutex_lock(&cache->lock);
    if (cache->changes == changes) {
        copy_text(cache->entries[i].owner, OWNER_MAX, owner);
        copy_text(cache->entries[i].mac, HASH_HEX_MAX, mac);
        cache->entries[i].until_ms = now_ms + CACHE_MS;
    }
    pthread_mutex_unlock(&cache->lock);
}

static void cache_drop(struct password_cache *cache, const char *owner)
{
    pthread_mutex_lock(&cache->lock);
    cache->changes++;
    for (size_t i = 0; i < CACHE_SIZE; i++)
        if (!owner || strcmp(cache->entries[i].owner, owner) == 0)
            cache->entries[i].until_ms = 0;
    pthread_mutex_unlock(&cache->lock);
}

void password_forget(struct store *s, const char *owner)
{
    cache_drop(s->passwords, owner);
}

enum status user_id(const char *name, char ret_id[OWNER_MAX], struct error *err)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t size = strlen(name);
    if (!size || size >= USER_NAME_MAX || strspn(name, allowed) != size)
        return error_set(err, INVALID, "user name '%.80s' is not 1 to %d of A-Z a-z 0-9 . _ -", name,
                         USER_NAME_MAX - 1);
    snprintf(ret_id, OWNER_MAX, "user:%s", name);
    return OK;
}

static enum status hash_password(struct store *s, const char *password, char ret_hash[crypto_pwhash_STRBYTES],
                                 struct error *err)
{
    size_t size = strlen(password);
    if (!size || size > PASSWORD_MAX_BYTES)
        return error_set(err, INVALID, "a password has 1 to %d bytes", PASSWORD_MAX_BYTES);
    sem_wait(&s->passwords->computing);
    int failed = crypto_pwhash_str_alg(ret_hash, password, size, ARGON_PASSES, ARGON_BYTES,
                                       crypto_pwhash_ALG_ARGON2ID13);
    sem_post(&s->passwords->computing);
    return failed ? error_set(err, UNAVAILABLE, "no memory to hash a password now") : OK;
}

struct user_write {
    const char *name, *id;
    const char *hash; /* NULL: no password */
    const json_t *body;
    const struct idempotency *idempotency;
    int64_t now_ms;
    struct document result;
};

static void user_write_release(struct user_write *u)
{
    document_release(&u->result);
}

static enum status write_password(struct tx *tx, const struct user_write *u, struct error *err)
{
    return SQL(tx->db, NULL, err,
               "INSERT INTO passwords(owner, hash) VALUES ($1, $2) ON CONFLICT (owner) DO UPDATE SET hash ="
               " excluded.hash",
               V(u->id), V(u->hash));
}

static enum status create(struct tx *tx, void *opaque, struct error *err)
{
    struct user_write *u = opaque;
    ROWS rows = {0};
    document_release(&u->result);
    TRY(SQL(tx->db, &rows, err, "SELECT 1 FROM documents WHERE id = $1", V(u->id)));
    if (rows.n)
        return error_set(err, CONFLICT, "there is a user '%s' already", u->name);
    struct new_document new = {.id = u->id, .type = "user", .body = u->body};
    TRY(document_insert(tx, u->id, &new, u->now_ms, &u->result, err));
    if (u->hash)
        TRY(write_password(tx, u, err));
    struct document_list made = {.n = 1, .documents = &u->result};
    return u->idempotency ? idempotency_answer(tx, u->idempotency, &made, u->now_ms, err) : OK;
}

enum status user_create(struct store *s, const char *name, const char *password, const json_t *body,
                        int64_t now_ms, struct document *ret_document, struct error *err)
{
    return user_create_once(s, name, password, body, NULL, now_ms, ret_document, err);
}

enum status user_create_once(struct store *s, const char *name, const char *password, const json_t *body,
                             const struct idempotency *idempotency, int64_t now_ms,
                             struct document *ret_document, struct error *err)
{
    char id[OWNER_MAX], hash[crypto_pwhash_STRBYTES];
    TRY(user_id(name, id, err));
    if (password)
        TRY(hash_password(s, password, hash, err));
    CLEANUP(json_decrefp) json_t *empty = json_object();
    CLEANUP(user_write_release)
    struct user_write u = {.name = name,
                           .id = id,
                           .hash = password ? hash : NULL,
                           .body = body ? body : empty,
                           .idempotency = idempotency,
                           .now_ms = now_ms};
    TRY(store_write_for(s, id, create, &u, err));
    if (ret_document) {
        *ret_document = u.result;
        u.result.body = NULL;
    }
    return OK;
}

static enum status set_password(struct tx *tx, void *opaque, struct error *err)
{
    struct user_write *u = opaque;
    document_release(&u->result);
    TRY(document_find(tx->db, u->id, u->id, &u->result, err));
    TRY(write_password(tx, u, err));
    tx_stir(tx, PASSWORD_TOPIC, u->id);
    return document_write(tx, &u->result, u->now_ms, err);
}

enum status user_set_password(struct store *s, const char *name, const char *password, int64_t now_ms,
                              struct error *err)
{
    char id[OWNER_MAX], hash[crypto_pwhash_STRBYTES];
    TRY(user_id(name, id, err));
    TRY(hash_password(s, password, hash, err));
    CLEANUP(user_write_release)
    struct user_write u = {.name = name, .id = id, .hash = hash, .now_ms = now_ms};
    enum status status = store_write_for(s, id, set_password, &u, err);
    cache_drop(s->passwords, id);
    return status;
}

static enum status read_hash(struct store *s, const char *id, char ret_hash[crypto_pwhash_STRBYTES],
                             struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err,
            "SELECT p.hash FROM passwords p JOIN documents d ON d.id = p.owner WHERE p.owner = $1 AND d.state"
            " <> 7",
            V(id)));
    memset(ret_hash, 0, crypto_pwhash_STRBYTES);
    copy_text(ret_hash, crypto_pwhash_STRBYTES, rows.n ? row_text(&rows, 0, 0) : no_hash);
    return OK;
}

enum status user_verify(struct store *s, const char *name, const char *password, int64_t now_ms,
                        struct error *err)
{
    char id[OWNER_MAX] = "", mac[HASH_HEX_MAX], hash[crypto_pwhash_STRBYTES];
    size_t size = strlen(password);
    if (user_id(name, id, NULL) != OK || size > PASSWORD_MAX_BYTES)
        return error_set(err, DENIED, "the user name or the password is wrong");
    uint64_t changes = 0;
    cache_mac(s->passwords, id, password, mac);
    if (cache_has(s->passwords, mac, now_ms, &changes))
        return OK;
    TRY(read_hash(s, id, hash, err));
    sem_wait(&s->passwords->computing);
    int wrong = crypto_pwhash_str_verify(hash, password, size);
    sem_post(&s->passwords->computing);
    if (wrong)
        return error_set(err, DENIED, "the user name or the password is wrong");
    cache_add(s->passwords, id, mac, now_ms, changes);
    return OK;
}
