/*
 * snapshot.h - a service snapshot is two files, uploaded one after the other:
 * a seal tells later whether the two belong together.
 *
 * The seal is the model's SHA-256 at the end of the solver state, as a field
 * of its protobuf message that no reader knows and every reader passes over.
 */
#ifndef ET_SNAPSHOT_H
#define ET_SNAPSHOT_H

#include "base/hash.h"

/* Appends the seal of model_path's bytes to state_path. */
enum status snapshot_seal(const char *model_path, const char *state_path, struct error *err);

/* Does the state end in a seal of exactly this model?  false also when a file cannot be read. */
bool snapshot_is_whole(const char *model_path, const char *state_path);

#endif
