/* Any bytes as an image, the first one saying in which colours: an error, or an image that can be resized. */
#include "engine/data/image.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    struct image image, resized;
    if (size == 0 || image_decode(data + 1, size - 1, "fuzz", data[0] % 3, &image, &err) != OK)
        return 0;
    image_resize(&image, 7, 5, &resized);
    image_release(&resized);
    image_release(&image);
    return 0;
}
