/* HDF5 files that lead elsewhere, or say that they hold what they do not. */
#include <zlib.h>

#include "data_test.h"
#include "engine/solver_state.h"

enum { LARGE = 20 << 20, CHUNK = 1 << 20 }; /* floats: 80 MiB */

static void make_dataset(hid_t file, const char *name, hid_t type, hsize_t n, hid_t properties)
{
    hid_t space = H5Screate_simple(1, &n, NULL);
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    assert_true(dataset >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
}

static void add_link_elsewhere(hid_t file)
{
    assert_true(H5Lcreate_external("other.h5", "/data", file, "data", H5P_DEFAULT, H5P_DEFAULT) >= 0);
}

static void add_values_elsewhere(hid_t file)
{
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    assert_true(H5Pset_external(properties, "other.bin", 0, 8) >= 0);
    make_dataset(file, "data", H5T_NATIVE_FLOAT, 2, properties);
    H5Pclose(properties);
}

static void add_virtual_dataset(hid_t file)
{
    hsize_t n = 2;
    hid_t space = H5Screate_simple(1, &n, NULL), properties = H5Pcreate(H5P_DATASET_CREATE);
    assert_true(H5Pset_virtual(properties, space, "other.h5", "/data", space) >= 0);
    make_dataset(file, "data", H5T_NATIVE_FLOAT, n, properties);
    H5Pclose(properties);
    H5Sclose(space);
}

static void add_values_never_written(hid_t file)
{
    make_dataset(file, "data", H5T_NATIVE_FLOAT, INT32_MAX, H5P_DEFAULT);
}

static hid_t chunked(void)
{
    hsize_t chunk = CHUNK;
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    assert_true(H5Pset_chunk(properties, 1, &chunk) >= 0 && H5Pset_deflate(properties, 1) >= 0);
    return properties;
}

static void write_large(hid_t file)
{
    CLEANUP(freep) float *values = xcalloc(LARGE, sizeof(*values));
    for (size_t i = 0; i < LARGE; i++)
        values[i] = (float)(i % 7);
    hid_t properties = chunked();
    make_dataset(file, "data", H5T_NATIVE_FLOAT, LARGE, properties);
    hid_t dataset = H5Dopen2(file, "data", H5P_DEFAULT);
    assert_true(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Pclose(properties);
}

/* The chunks are said to lie in the file as they are: then they are short. */
static void unfilter_chunks(const char *path)
{
    enum { HEADER = 24, ENTRY = 32, MASK = 4, IS_CHUNKS = 1 };
    struct error err;
    CLEANUP(freep) char *bytes = NULL;
    size_t size, n = 0;
    assert_ok(file_read(path, 64 << 20, &bytes, &size, &err));
    for (char *at = bytes; (at = memmem(at, size - (size_t)(at - bytes), "TREE", 4)); at++) {
        int n_entries = at[6];
        if (at[4] != IS_CHUNKS || at[5] != 0)
            continue;
        for (int i = 0; i < n_entries; i++, n++)
            at[HEADER + i * ENTRY + MASK] = 1;
    }
    assert_int_equal(n, LARGE / CHUNK);
    assert_ok(file_write(path, bytes, size, 0644, &err));
}

/* Each chunk is another's first half, deflated: a right stream of too few bytes. */
static void write_short_chunks(hid_t file)
{
    hsize_t n = 2000, at = 0;
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    assert_true(H5Pset_chunk(properties, 1, &n) >= 0 && H5Pset_deflate(properties, 1) >= 0);
    make_dataset(file, "data", H5T_NATIVE_FLOAT, n, properties);
    static const float values[1000];
    unsigned char deflated[200];
    uLongf size = sizeof(deflated);
    assert_int_equal(compress(deflated, &size, (const Bytef *)values, sizeof(values)), Z_OK);
    hid_t dataset = H5Dopen2(file, "data", H5P_DEFAULT);
    assert_true(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &at, size, deflated) >= 0);
    H5Dclose(dataset);
    H5Pclose(properties);
}

static void write_filtered(hid_t file, unsigned options)
{
    hsize_t n = 1000, chunk = 300;
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    assert_true(H5Pset_chunk(properties, 1, &chunk) >= 0 && H5Pset_shuffle(properties) >= 0 &&
                H5Pset_deflate(properties, 1) >= 0 && H5Pset_fletcher32(properties) >= 0 &&
                H5Pset_chunk_opts(properties, options) >= 0);
    make_dataset(file, "data", H5T_NATIVE_FLOAT, n, properties);
    float values[1000];
    for (int i = 0; i < 1000; i++)
        values[i] = (float)i;
    hid_t dataset = H5Dopen2(file, "data", H5P_DEFAULT);
    assert_true(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Pclose(properties);
}

static void write_every_filter(hid_t file)
{
    write_filtered(file, 0);
}

static void write_plain_edges(hid_t file)
{
    write_filtered(file, H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS);
}

static void a_file_is_refused_when_it_is_opened(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        void (*add)(hid_t file);
        const char *message; /* NULL: it is read */
        void (*damage)(const char *path);
    } rows[] = {
        {"a link to another file", add_link_elsewhere, "other files"},
        {"values in another file", add_values_elsewhere, "other files"},
        {"a dataset of others", add_virtual_dataset, "other files"},
        {"8 GB that were never written", add_values_never_written, "is damaged"},
        {"80 MiB in chunks", write_large, NULL},
        {"chunks behind three filters", write_every_filter, NULL},
        {"filters, but for the last chunk", write_plain_edges, NULL},
        {"80 MiB in chunks, as if they were not deflated", write_large, "is damaged", unfilter_chunks},
        {"a chunk of half as many values", write_short_chunks, "is damaged"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        CLEANUP(freep) char *folder = test_folder();
        CLEANUP(freep) char *path = path_join(folder, "a.h5");
        CLEANUP(hdf5_file_closep) hid_t file = -1;
        assert_ok(hdf5_create(path, &file, &err));
        rows[i].add(file);
        assert_ok(hdf5_finish(&file, path, &err));
        if (rows[i].damage)
            rows[i].damage(path);
        enum status status = hdf5_open(path, &file, &err);
        if (status != (rows[i].message ? INVALID : OK) ||
            (rows[i].message && !strstr(err.message, rows[i].message)))
            fail_msg("%s: %s, %s", rows[i].what, status_name(status), err.message);
        dir_remove(folder, NULL);
    }
}

static void the_name_of_a_states_net_is_one_text(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        hsize_t n;
        enum status status;
    } rows[] = {{4, 1, OK}, {4, 5000, INVALID}, {H5T_VARIABLE, 1, INVALID}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err;
        struct solver_state solver_state;
        const int number = 1;
        CLEANUP(freep) char *folder = test_folder();
        CLEANUP(freep) char *path = path_join(folder, "a.solverstate.h5");
        CLEANUP(hdf5_file_closep) hid_t file = -1;
        assert_ok(hdf5_create(path, &file, &err));
        hid_t text = H5Tcopy(H5T_C_S1);
        H5Tset_size(text, rows[i].size);
        make_dataset(file, "learned_net", text, rows[i].n, H5P_DEFAULT);
        H5Tclose(text);
        static const char *const names[] = {"iter", "current_step"};
        for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
            make_dataset(file, names[k], H5T_NATIVE_INT, 1, H5P_DEFAULT);
            hid_t dataset = H5Dopen2(file, names[k], H5P_DEFAULT);
            H5Dwrite(dataset, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, &number);
            H5Dclose(dataset);
        }
        hid_t group;
        assert_ok(hdf5_group_make(file, path, "history", &group, &err));
        hdf5_group_closep(&group);
        assert_ok(hdf5_finish(&file, path, &err));
        enum status status = solver_state_read(path, &solver_state, &err);
        assert_int_equal(status, rows[i].status);
        if (status == OK)
            solver_state_release(&solver_state);
        dir_remove(folder, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_refused_when_it_is_opened),
        cmocka_unit_test(the_name_of_a_states_net_is_one_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
