/* convert_imageset.c - `et convert-imageset`: listed images into a database, as Caffe's convert_imageset. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "cli/commands.h"
#include "engine/data/db.h"
#include "engine/data/image.h"
#include "engine/data/image_list.h"
#include "engine/rng.h"
#include "netdef/caffe.pb-c.h"

static const char help[] =
    "usage: et convert-imageset [flags] ROOT/ LIST OUT\n\n"
    "Writes the images that LIST names, one 'path label' a line, into the new\n"
    "database OUT, as Caffe's convert_imageset does.  ROOT/ stands before each path.\n"
    "An image that cannot be read is named on stderr and left out.\n\n"
    "  --gray              make the images grey\n"
    "  --shuffle           in random order (the same one each time)\n"
    "  --backend=NAME      lmdb (default) or leveldb\n"
    "  --resize_width=N    resize the images; give both\n"
    "  --resize_height=N\n"
    "  --check_size        end when an image's size differs from the first one's\n"
    "  --encoded           store files as they are, not their pixels\n"
    "  --encode_type=TYPE  store files of this type: png or jpg\n"
    "\nexample:\n"
    "  et convert-imageset --resize_width=256 --resize_height=256 images/ train.txt train_lmdb\n";

struct settings {
    bool gray, shuffle, check_size, encoded;
    enum db_backend backend;
    int width, height;       /* 0: as in the file */
    const char *encode_type; /* "": by the file's name */
};

/* What stands before the paths, the list, the database. */
struct places {
    const char *root, *list, *out;
};

struct totals {
    uint32_t n_written, n_skipped;
    size_t first_size; /* bytes of the first image's pixels; 0: none yet */
};

static const char *name_ending(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

static bool same_type(const char *ending, const char *type)
{
    return !strcasecmp(ending, type) || (!strcasecmp(type, "jpg") && !strcasecmp(ending, "jpeg"));
}

/* The file itself when it has the type asked for and needs no change, else encoded anew. */
static enum status encoded_bytes(const struct settings *s, const char *path, const struct image *image,
                                 char **ret_bytes, size_t *ret_size, struct error *err)
{
    const char *type = *s->encode_type ? s->encode_type : name_ending(path);
    if (!s->width && same_type(name_ending(path), type))
        return file_read(path, IMAGE_MAX_FILE_BYTES, ret_bytes, ret_size, err);
    if (same_type(type, "png"))
        return image_encode(image, IMAGE_PNG, ret_bytes, ret_size, err);
    if (same_type(type, "jpg"))
        return image_encode(image, IMAGE_JPEG, ret_bytes, ret_size, err);
    return error_set(err, INVALID, "'%s' cannot be encoded as '%s': png and jpg are known", path, type);
}

/* Pixels (H,W,C) as a record holds them (C,H,W), for the caller to free. */
static char *planar_bytes(const struct image *image, size_t *ret_size)
{
    size_t plane = (size_t)image->height * (size_t)image->width, channels = (size_t)image->channels;
    char *bytes = xmalloc(plane * channels);
    for (size_t i = 0; i < plane; i++)
        for (size_t c = 0; c < channels; c++)
            bytes[c * plane + i] = (char)image->pixels[i * channels + c];
    *ret_size = plane * channels;
    return bytes;
}

static enum status load_image(const struct settings *s, const char *path, struct image *ret_image,
                              struct error *err)
{
    TRY(image_load(path, s->gray ? IMAGE_GREY : IMAGE_COLOR, ret_image, err));
    if (s->width) {
        struct image resized;
        image_resize(ret_image, s->height, s->width, &resized);
        image_release(ret_image);
        *ret_image = resized;
    }
    return OK;
}

static enum status put_image(const struct settings *s, const struct image_entry *entry, uint32_t number,
                             const char *path, const struct image *image, struct db_writer *out,
                             struct error *err)
{
    CLEANUP(freep) char *bytes = NULL;
    size_t size = 0;
    Caffe__Datum datum = CAFFE__DATUM__INIT;
    if (s->encoded) {
        TRY(encoded_bytes(s, path, image, &bytes, &size, err));
    } else {
        bytes = planar_bytes(image, &size);
        datum.has_channels = datum.has_height = datum.has_width = true;
        datum.channels = image->channels;
        datum.height = image->height;
        datum.width = image->width;
    }
    datum.has_data = datum.has_label = datum.has_encoded = true;
    datum.data = (ProtobufCBinaryData){size, (uint8_t *)bytes};
    datum.label = entry->label;
    datum.encoded = s->encoded;
    size_t record_size = caffe__datum__get_packed_size(&datum);
    CLEANUP(freep) uint8_t *record = xmalloc(record_size);
    caffe__datum__pack(&datum, record);
    CLEANUP(freep) char *key = xasprintf("%08u_%s", number, entry->path);
    return db_put(out, key, record, record_size, err);
}

static enum status copy_images(const struct settings *s, const struct places *at,
                               const struct image_list *list, struct db_writer *out, struct totals *totals,
                               struct error *err)
{
    for (uint32_t i = 0; i < list->n; i++) {
        const struct image_entry *entry = &list->entries[i];
        CLEANUP(freep) char *path = xasprintf("%s%s", at->root, entry->path);
        CLEANUP(image_release) struct image image = {0};
        struct error why;
        if (load_image(s, path, &image, &why) != OK) {
            fprintf(stderr, "et: line %d of '%s' is left out: %s\n", entry->line, at->list, why.message);
            totals->n_skipped++;
            continue;
        }
        size_t size = (size_t)image.height * (size_t)image.width * (size_t)image.channels;
        if (!totals->first_size)
            totals->first_size = size;
        if (s->check_size && size != totals->first_size)
            return error_set(err, INVALID, "'%s' has %zu bytes of pixels, the first image %zu", path, size,
                             totals->first_size);
        TRY(put_image(s, entry, i, path, &image, out, err));
        totals->n_written++;
    }
    if (!totals->n_written)
        return error_set(err, INVALID, "no image of '%s' could be read", at->list);
    return db_commit(out, err);
}

static void shuffle(struct image_list *list)
{
    struct rng rng;
    rng_seed(&rng, 1);
    for (uint32_t left = list->n; left > 1; left--) {
        uint32_t i = rng_below(&rng, left);
        struct image_entry taken = list->entries[i];
        list->entries[i] = list->entries[left - 1];
        list->entries[left - 1] = taken;
    }
}

static enum status convert(const struct settings *s, const struct places *at, struct error *err)
{
    CLEANUP(image_list_release) struct image_list list = {0};
    TRY(image_list_read(at->list, &list, err));
    if (s->shuffle)
        shuffle(&list);
    struct db_writer *out;
    TRY(db_create(s->backend, at->out, &out, err));
    struct totals totals = {0};
    enum status status = copy_images(s, at, &list, out, &totals, err);
    db_writer_free(out);
    if (status != OK)
        dir_remove(at->out, NULL);
    else
        printf("%u images are in '%s', %u were left out\n", totals.n_written, at->out, totals.n_skipped);
    return status;
}

/* gflags' booleans: --name, --name=true, --name=false.  NULL is a bare --name. */
static bool read_bool(const char *text, bool *ret_value)
{
    if (!text || !strcasecmp(text, "true") || !strcmp(text, "1")) {
        *ret_value = true;
        return true;
    }
    *ret_value = false;
    return !strcasecmp(text, "false") || !strcmp(text, "0");
}

static bool read_size(const char *text, int *ret_size)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value > 100000)
        return false;
    *ret_size = (int)MAX(value, 0);
    return true;
}

static bool take_flag(int flag, struct settings *s)
{
    struct error ignored;
    switch (flag) {
    case 'g':
        return read_bool(optarg, &s->gray);
    case 's':
        return read_bool(optarg, &s->shuffle);
    case 'c':
        return read_bool(optarg, &s->check_size);
    case 'e':
        return read_bool(optarg, &s->encoded);
    case 'W':
        return read_size(optarg, &s->width);
    case 'H':
        return read_size(optarg, &s->height);
    case 'b':
        return db_backend_parse(optarg, &s->backend, &ignored) == OK;
    case 't':
        s->encode_type = optarg;
        s->encoded = s->encoded || *optarg;
        return !*optarg || same_type(optarg, "png") || same_type(optarg, "jpg");
    default:
        return false;
    }
}

int command_convert_imageset(int argc, char **argv)
{
    static const char *const name = "convert-imageset";
    static const struct option options[] = {
        {"backend", required_argument, NULL, 'b'},       {"check_size", optional_argument, NULL, 'c'},
        {"encode_type", required_argument, NULL, 't'},   {"encoded", optional_argument, NULL, 'e'},
        {"gray", optional_argument, NULL, 'g'},          {"help", no_argument, NULL, 'h'},
        {"resize_height", required_argument, NULL, 'H'}, {"resize_width", required_argument, NULL, 'W'},
        {"shuffle", optional_argument, NULL, 's'},       {NULL, 0, NULL, 0},
    };
    struct settings s = {.backend = DB_LMDB, .encode_type = ""};
    optind = 0;
    opterr = 0;
    int index = 0;
    for (int flag; (flag = getopt_long_only(argc, argv, "", options, &index)) != -1;) {
        if (flag == '?')
            return command_usage(name, "flag '%s' is not known, or has no value", argv[optind - 1]);
        if (flag == 'h')
            return fputs(help, stdout), EXIT_DONE;
        if (!take_flag(flag, &s))
            return command_usage(name, "--%s cannot be '%s'", options[index].name, optarg);
    }
    if (argc - optind != 3)
        return command_usage(name, "three names are needed: ROOT/ LIST OUT");
    if (!s.width != !s.height)
        return command_usage(name, "--resize_width and --resize_height go together");
    struct error err;
    struct places at = {argv[optind], argv[optind + 1], argv[optind + 2]};
    return convert(&s, &at, &err) == OK ? EXIT_DONE : command_fail(&err);
}
