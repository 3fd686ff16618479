/*
 * pack.h - inside the store: metrics of ended jobs, once they are a blob.
 *
 * Who reads rows of metrics must then ask for the pack, which takes their
 * place: the rows go piece by piece after it is there.
 */
#ifndef ET_PACK_H
#define ET_PACK_H

#include "store/internal.h"

struct metric_pack;
/* *ret_pack NULL: the metrics are rows.  Errors: FAILED: its bytes are damaged or gone. */
enum status metric_pack_open(struct store *s, struct connection *db, const char *job,
                             struct metric_pack **ret_pack, struct error *err);
void metric_pack_free(struct metric_pack *p);
void metric_pack_freep(struct metric_pack **p);
/* Where one metric's points of steps from `from` to `to` are, by step. */
enum status metric_pack_range(struct metric_pack *p, const char *name, int64_t from, int64_t to,
                              int64_t *ret_first, int64_t *ret_n, struct error *err);
/* Points first to first + n - 1, which must be there. */
enum status metric_pack_read(struct metric_pack *p, int64_t first, int n, struct metric_point *ret_points,
                             struct error *err);

#endif
