#include "engine/data/datum.h"

#include <limits.h>

static enum status check_size(const Caffe__Datum *m, size_t n, struct error *err)
{
    int64_t count = m->channels;
    if (m->channels < 1 || m->height < 1 || m->width < 1 || (count *= m->height) > INT_MAX ||
        (count *= m->width) > INT_MAX)
        return error_set(err, INVALID, "a size of %d x %d x %d (channels, height, width)", m->channels,
                         m->height, m->width);
    if (n != (size_t)count)
        return error_set(err, INVALID, "%zu values for a size of %d x %d x %d (channels, height, width)", n,
                         m->channels, m->height, m->width);
    return OK;
}

enum status datum_read(const void *bytes, size_t size, enum image_color color, struct datum *ret_datum,
                       struct error *err)
{
    CLEANUP(datum_release) struct datum d = {.message = caffe__datum__unpack(NULL, size, bytes)};
    const Caffe__Datum *m = d.message;
    if (!m)
        return error_set(err, INVALID, "it is no Datum");
    d.label = m->label;
    if (m->encoded) {
        TRY(image_decode(m->data.data, m->data.len, "record", color, &d.image, err));
        d.sample = image_sample(&d.image);
    } else {
        TRY(check_size(m, m->data.len ? m->data.len : m->n_float_data, err));
        d.sample = (struct sample){
            .channels = m->channels,
            .height = m->height,
            .width = m->width,
            .bytes = m->data.len ? m->data.data : NULL,
            .floats = m->data.len ? NULL : m->float_data,
        };
    }
    *ret_datum = d;
    d = (struct datum){0};
    return OK;
}

void datum_release(struct datum *d)
{
    if (d->message)
        caffe__datum__free_unpacked(d->message, NULL);
    image_release(&d->image);
    *d = (struct datum){0};
}
