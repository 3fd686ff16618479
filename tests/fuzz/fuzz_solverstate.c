/* Any bytes as a solver state in binary form: an error, or a state whose histories fit their shapes. */
#include <stdlib.h>

#include "as_file.h"
#include "engine/solver_state.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(fd_closep) int fd = -1;
    char name[64];
    const char *path = as_file(data, size, name, &fd);
    struct error err;
    struct solver_state state;
    if (!path || solver_state_read(path, &state, &err) != OK)
        return 0;
    volatile double sum = 0; /* every value is read */
    for (int i = 0; i < state.n_histories; i++)
        for (int64_t k = 0; k < shape_count(&state.histories[i].shape); k++)
            sum = sum + (double)state.histories[i].values[k];
    solver_state_release(&state);
    return 0;
}
