/* data_test.h - small databases, image folders and HDF5 files for the tests of this folder. */
#ifndef ET_DATA_TEST_H
#define ET_DATA_TEST_H

#include "../../test.h"
#include "engine/data/db.h"
#include "engine/data/hdf5_file.h"
#include "engine/data/image.h"
#include "engine/source.h"

/* Parses what a prototxt would say of one layer's parameters, by hand. */
static inline Caffe__LayerParameter data_layer_param(const char *type, int n_tops)
{
    static char *tops[] = {(char *)"data", (char *)"label", (char *)"third"};
    Caffe__LayerParameter layer = CAFFE__LAYER_PARAMETER__INIT;
    layer.name = (char *)"d";
    layer.type = (char *)type;
    layer.n_top = (size_t)n_tops;
    layer.top = tops;
    return layer;
}

static inline void put_datum(struct db_writer *out, int number, const Caffe__Datum *datum)
{
    struct error err;
    CLEANUP(freep) uint8_t *bytes = xmalloc(caffe__datum__get_packed_size(datum));
    size_t size = caffe__datum__pack(datum, bytes);
    char key[16];
    snprintf(key, sizeof(key), "%08d", number);
    assert_ok(db_put(out, key, bytes, size, &err));
}

/* Record i: 1 x 1 x 2 bytes {i, 2i}, label 10 + i. */
static inline void make_pairs_db(enum db_backend backend, const char *path, int n)
{
    struct error err;
    struct db_writer *out;
    assert_ok(db_create(backend, path, &out, &err));
    for (int i = 0; i < n; i++) {
        uint8_t pixels[2] = {(uint8_t)i, (uint8_t)(2 * i)};
        Caffe__Datum datum = CAFFE__DATUM__INIT;
        datum.has_channels = datum.has_height = datum.has_width = datum.has_data = datum.has_label = true;
        datum.channels = datum.height = 1, datum.width = 2;
        datum.data = (ProtobufCBinaryData){2, pixels};
        datum.label = 10 + i;
        put_datum(out, i, &datum);
    }
    assert_ok(db_commit(out, &err));
    db_writer_free(out);
}

static inline void write_text(const char *folder, const char *name, const char *text)
{
    struct error err;
    CLEANUP(freep) char *path = path_join(folder, name);
    assert_ok(file_write(path, text, strlen(text), 0644, &err));
}

/* A grey PNG of one pixel. */
static inline void write_pixel(const char *folder, const char *name, int value)
{
    struct error err;
    uint8_t pixel = (uint8_t)value;
    struct image image = {1, 1, 1, &pixel};
    CLEANUP(freep) char *path = path_join(folder, name);
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    assert_ok(image_encode(&image, IMAGE_PNG, &bytes, &size, &err));
    assert_ok(file_write(path, bytes, size, 0644, &err));
}

/* Rows first..first+n-1 of x (n,2) = {row, row + 0.5} and y (n) = 100 + row. */
static inline void write_rows(const char *folder, const char *name, int first, int n)
{
    struct error err;
    CLEANUP(freep) char *path = path_join(folder, name);
    CLEANUP(hdf5_file_closep) hid_t file = -1;
    float x[64], y[32];
    for (int i = 0; i < n; i++) {
        x[2 * i] = (float)(first + i);
        x[2 * i + 1] = (float)(first + i) + 0.5f;
        y[i] = (float)(100 + first + i);
    }
    assert_ok(hdf5_create(path, &file, &err));
    assert_ok(hdf5_write_floats(file, path, "data", &(struct shape){2, {n, 2}}, x, &err));
    assert_ok(hdf5_write_floats(file, path, "label", &(struct shape){1, {n}}, y, &err));
    assert_ok(hdf5_finish(&file, path, &err));
}

#endif
