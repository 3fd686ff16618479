#include <leveldb/c.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "engine/data/db_driver.h"
#include "engine/data/leveldb_check.h"

static enum status leveldb_error(const char *path, const char *what, char *message, struct error *err)
{
    enum status status = strstr(message, "No space left") ? NO_SPACE
                         : strstr(message, "Corruption")  ? INVALID
                                                          : FAILED;
    error_set(err, status, "cannot %s leveldb '%s': %s", what, path, message);
    leveldb_free(message);
    return status;
}

static leveldb_t *open_db(const char *path, bool create, char **message)
{
    leveldb_options_t *options = leveldb_options_create();
    leveldb_options_set_create_if_missing(options, create);
    leveldb_options_set_error_if_exists(options, create);
    leveldb_options_set_block_size(options, 65536);
    leveldb_options_set_max_open_files(options, 100);
    leveldb_options_set_paranoid_checks(options, 1);
    leveldb_t *db = leveldb_open(options, path, message);
    leveldb_options_destroy(options);
    return db;
}

static enum status env_open(const char *path, void **ret_env, struct error *err)
{
    /* leveldb would make a lock file in a folder that is none of its own. */
    CLEANUP(freep) char *current = path_join(path, "CURRENT");
    if (access(current, R_OK))
        return error_set(err, INVALID, "'%s' is not a leveldb: it has no readable CURRENT", path);
    TRY(leveldb_check(path, err));
    char *message = NULL;
    leveldb_t *db = open_db(path, false, &message);
    if (!db)
        return leveldb_error(path, "open", message, err);
    *ret_env = db;
    return OK;
}

static void env_close(void *env)
{
    leveldb_close(env);
}

struct reader {
    leveldb_readoptions_t *options;
    leveldb_iterator_t *iterator;
};

static enum status read_open(void *env, const char *path, void **ret_reader, struct error *err)
{
    (void)path, (void)err;
    struct reader *r = xcalloc(1, sizeof(*r));
    r->options = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(r->options, 1);
    leveldb_readoptions_set_fill_cache(r->options, 0);
    r->iterator = leveldb_create_iterator(env, r->options);
    *ret_reader = r;
    return OK;
}

static void read_close(void *opaque)
{
    struct reader *r = opaque;
    leveldb_iter_destroy(r->iterator);
    leveldb_readoptions_destroy(r->options);
    free(r);
}

static enum status read_step(void *reader, const char *path, bool rewind, struct db_span *ret_value,
                             struct error *err)
{
    struct reader *r = reader;
    if (rewind)
        leveldb_iter_seek_to_first(r->iterator);
    else
        leveldb_iter_next(r->iterator);
    char *message = NULL;
    leveldb_iter_get_error(r->iterator, &message);
    if (message)
        return leveldb_error(path, "read", message, err);
    struct db_span value = {0};
    if (leveldb_iter_valid(r->iterator))
        value.bytes = leveldb_iter_value(r->iterator, &value.size);
    *ret_value = value;
    return OK;
}

static enum status write_open(const char *path, void **ret_writer, struct error *err)
{
    struct stat st;
    if (!lstat(path, &st))
        return error_set(err, CONFLICT, "cannot make leveldb '%s': it exists", path);
    char *message = NULL;
    leveldb_t *db = open_db(path, true, &message);
    if (!db)
        return leveldb_error(path, "make", message, err);
    *ret_writer = db;
    return OK;
}

static enum status write_batch(void *writer, const char *path, const struct db_pair *pairs, size_t n,
                               struct error *err)
{
    leveldb_writebatch_t *batch = leveldb_writebatch_create();
    for (size_t i = 0; i < n; i++)
        leveldb_writebatch_put(batch, pairs[i].key, strlen(pairs[i].key), pairs[i].value,
                               pairs[i].value_size);
    leveldb_writeoptions_t *options = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(options, 1);
    char *message = NULL;
    leveldb_write(writer, options, batch, &message);
    leveldb_writeoptions_destroy(options);
    leveldb_writebatch_destroy(batch);
    return message ? leveldb_error(path, "write", message, err) : OK;
}

const struct db_driver db_driver_leveldb = {
    .name = "leveldb",
    .env_open = env_open,
    .env_close = env_close,
    .read_open = read_open,
    .read_close = read_close,
    .read_step = read_step,
    .write_open = write_open,
    .write_batch = write_batch,
    .write_close = env_close,
};
