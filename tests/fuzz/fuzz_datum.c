/* Any bytes as a database's record, the first one saying in which colours: an error, or pixels to transform.
 */
#include <stdlib.h>

#include "engine/data/datum.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Caffe__TransformationParameter param = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    CLEANUP(transform_freep) struct transform *transform = NULL;
    CLEANUP(datum_release) struct datum datum = {0};
    struct error err;
    struct shape shape;
    struct rng rng;
    param.mirror = true;
    param.crop_size = 2;
    rng_seed(&rng, 1);
    if (size == 0 || datum_read(data + 1, size - 1, data[0] % 3, &datum, &err) != OK ||
        transform_create(&param, CAFFE__PHASE__TRAIN, NULL, &transform, &err) != OK ||
        transform_shape(transform, &datum.sample, 1, &shape, &err) != OK)
        return 0;
    CLEANUP(freep) float *out = xcalloc((size_t)shape_count(&shape) + 1, sizeof(*out));
    transform_apply(transform, &datum.sample, &rng, out);
    return 0;
}
