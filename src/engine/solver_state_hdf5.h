/* solver_state_hdf5.h - the HDF5 form of a solver state; for solver_state.c only. */
#ifndef ET_SOLVER_STATE_HDF5_H
#define ET_SOLVER_STATE_HDF5_H

#include "engine/solver_state.h"

/* Datasets iter, learned_net, current_step, history/0..n-1, as Caffe; et_position/0..n-1 beside them. */
enum status solver_state_write_hdf5(const struct solver_state *s, const char *path, struct error *err);
/* Fills *state, which may be half filled when it fails. */
enum status solver_state_read_hdf5(const char *path, struct solver_state *state, struct error *err);

#endif
