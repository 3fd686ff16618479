/*
 * snapshot.h - the service's snapshot of a training job: model and solver
 * state in one tar, so that an upload leaves both with the server or neither.
 */
#ifndef ET_SNAPSHOT_H
#define ET_SNAPSHOT_H

#include "base/base.h"

#define SNAPSHOT_TAR   "snapshot.tar"
#define SNAPSHOT_MODEL "snapshot.caffemodel"
#define SNAPSHOT_STATE "snapshot.solverstate"

/* Writes tar_path, with the two files under the names above. */
enum status snapshot_pack(const char *model_path, const char *state_path, const char *tar_path,
                          struct error *err);

/* Writes what tar_path holds into folder.  Errors: INVALID when it is no whole snapshot. */
enum status snapshot_unpack(const char *tar_path, const char *folder, struct error *err);

#endif
