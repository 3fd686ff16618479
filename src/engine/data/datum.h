/*
 * datum.h - one record of an LMDB or LevelDB: Caffe's Datum, as pixels.
 */
#ifndef ET_DATUM_H
#define ET_DATUM_H

#include "engine/data/transform.h"

struct datum {
    struct sample sample; /* lent by the two below */
    int label;
    Caffe__Datum *message;
    struct image image; /* of an encoded record; else empty */
};

/*
 * Decodes an encoded record in the given colours.  Release ret_datum on OK.
 * Errors: INVALID for what is no Datum, for values that do not fit the size,
 * for pictures that cannot be decoded.
 */
enum status datum_read(const void *bytes, size_t size, enum image_color color, struct datum *ret_datum,
                       struct error *err);
void datum_release(struct datum *d);

#endif
