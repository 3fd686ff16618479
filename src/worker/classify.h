/*
 * classify.h - labels for images by a trained net, in a process of its own:
 * `et classify-images SPEC.json` (hidden), which a classify job runs in its
 * folder.
 *
 * SPEC.json: {"net": FILE, "weights": FILE, "images": [{"key", "file"}],
 *             "scale", "width", "height", "color", "labels", "threads", "result": FILE}
 * The result file: {"results": {key: label or "error: reason"}, "scores": {key: x}}
 */
#ifndef ET_CLASSIFY_H
#define ET_CLASSIFY_H

#include "base/json.h"

/* Errors: INVALID for a net that does not fit; an image's own error is in its result. */
enum status classify_images(const json_t *spec, json_t **ret_result, struct error *err);

/* The command: reads the spec and writes the result.  Returns an exit status. */
int classify_main(const char *spec_path);

#endif
