/* Any bytes as an HDF5 file: a solver state, or data sets as HDF5Data reads them; else an error. */
#include "as_folder.h"
#include "engine/data/hdf5_file.h"
#include "engine/solver_state_hdf5.h"
#include "fuzz.h"

enum { FLOATS_MAX = 1 << 24 };

static void read_data(hid_t file, const char *path, const char *name)
{
    struct error err;
    struct shape shape;
    if (!hdf5_has(file, name) || hdf5_dataset_shape(file, path, name, &shape, &err) != OK ||
        shape_count(&shape) > FLOATS_MAX)
        return;
    CLEANUP(freep) float *values = xcalloc((size_t)shape_count(&shape) + 1, sizeof(*values));
    if (hdf5_read_floats(file, path, name, values, &err) != OK)
        return;
}

static void read_all(const char *path)
{
    CLEANUP(solver_state_release) struct solver_state state = {0};
    CLEANUP(hdf5_file_closep) hid_t file = -1;
    struct error err;
    if (hdf5_open(path, &file, &err) != OK)
        return;
    read_data(file, path, "data");
    read_data(file, path, "x");
    (void)solver_state_read_hdf5(path, &state, &err);
}

/* HDF5 asks for a file's real path, which one in memory has not. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char folder[256];
    if (!folder_make(folder))
        return 0;
    folder_put(folder, "fuzz.h5", data, size);
    CLEANUP(freep) char *path = path_join(folder, "fuzz.h5");
    read_all(path);
    folder_remove(folder);
    return 0;
}
