#include "base/pools.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

#define COUNT_MAX 100000

static const char bf16_suffix[] = "-bf16";

void pools_release(struct pools *p)
{
    free(p->items);
    *p = (struct pools){0};
}

static bool read_count(const char *text, int *ret_count)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < 0 || n > COUNT_MAX)
        return false;
    *ret_count = (int)n;
    return true;
}

static bool read_amount(struct pool_size *pool, const char *key, const char *value)
{
    if (!strcmp(key, "cpus"))
        return read_count(value, &pool->cpus);
    if (!strcmp(key, "gpus"))
        return read_count(value, &pool->gpus);
    return !strcmp(key, "memory") && size_read(value, &pool->memory_bytes);
}

static bool name_is_valid(const char *name)
{
    size_t n = strlen(name);
    return n && n + strlen(bf16_suffix) < POOL_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == n;
}

void pools_put(struct pools *p, const struct pool_size *pool)
{
    struct pool_size *old = (struct pool_size *)pools_find(p, pool->name);
    if (!old) {
        p->items = xrealloc(p->items, (size_t)(p->n + 1) * sizeof(*p->items));
        old = &p->items[p->n++];
    }
    *old = *pool;
}

enum status pools_add(struct pools *p, const char *text, struct error *err)
{
    static const char right[] = "expected NAME, or NAME:cpus=4,memory=16G,gpus=1";
    struct pool_size pool = {0};
    CLEANUP(freep) char *copy = xstrdup(text);
    char *amounts = strchr(copy, ':');
    if (amounts)
        *amounts++ = '\0';
    if (!name_is_valid(copy))
        return error_set(err, INVALID, "'%s' is no pool: %s", text, right);
    snprintf(pool.name, sizeof(pool.name), "%s", copy);
    for (char *part; (part = strsep(&amounts, ","));) {
        char *value = strchr(part, '=');
        if (value)
            *value++ = '\0';
        if (!value || !read_amount(&pool, part, value))
            return error_set(err, INVALID, "pool '%s': '%s' is not understood: %s", pool.name, text, right);
    }
    pools_put(p, &pool);
    return OK;
}

enum status pools_add_all(struct pools *p, const char *text, struct error *err)
{
    CLEANUP(freep) char *copy = xstrdup(text);
    char *rest = copy;
    for (char *word; (word = strsep(&rest, " "));)
        if (*word)
            TRY(pools_add(p, word, err));
    return OK;
}

const struct pool_size *pools_find(const struct pools *p, const char *name)
{
    for (int i = 0; i < p->n; i++)
        if (!strcmp(p->items[i].name, name))
            return &p->items[i];
    return NULL;
}

/* An amount that was not said is the largest of all. */
static int compare_amounts(int64_t a, int64_t b)
{
    a = a ? a : INT64_MAX;
    b = b ? b : INT64_MAX;
    return (a > b) - (a < b);
}

static bool is_smaller(const struct pool_size *a, const struct pool_size *b)
{
    if (a->gpus != b->gpus)
        return a->gpus < b->gpus;
    int cpus = compare_amounts(a->cpus, b->cpus);
    return cpus ? cpus < 0 : compare_amounts(a->memory_bytes, b->memory_bytes) < 0;
}

const struct pool_size *pools_fit(const struct pools *p, int cpus, int64_t memory_bytes, int gpus)
{
    const struct pool_size *best = NULL;
    for (int i = 0; i < p->n; i++) {
        const struct pool_size *pool = &p->items[i];
        if (gpus > pool->gpus || (!gpus && pool->gpus) || (pool->cpus && cpus > pool->cpus) ||
            (pool->memory_bytes && memory_bytes > pool->memory_bytes))
            continue;
        if (!best || is_smaller(pool, best))
            best = pool;
    }
    return best;
}

const char *pools_text(const struct pools *p, char out[POOLS_TEXT_MAX])
{
    size_t size = 0;
    out[0] = '\0';
    for (int i = 0; i < p->n && size < POOLS_TEXT_MAX; i++) {
        const struct pool_size *pool = &p->items[i];
        char cpus[32] = "any", memory[SIZE_TEXT_MAX] = "any";
        if (pool->cpus)
            snprintf(cpus, sizeof(cpus), "%d", pool->cpus);
        if (pool->memory_bytes)
            size_text(pool->memory_bytes, memory);
        int n = snprintf(out + size, POOLS_TEXT_MAX - size, "%s%s (cpus %s, memory %s, gpus %d)",
                         i ? ", " : "", pool->name, cpus, memory, pool->gpus);
        size += (size_t)MAX(n, 0);
    }
    return out;
}

char *pools_bf16_name(const char *name)
{
    return xasprintf("%s%s", name, bf16_suffix);
}

bool pools_is_bf16_name(const char *name)
{
    size_t n = strlen(name), n_suffix = strlen(bf16_suffix);
    return n > n_suffix && !strcmp(name + n - n_suffix, bf16_suffix);
}
