/*
 * bucket_classifier.h - a bucket that one of our own classifiers serves: a
 * thread takes its items, queues a classify job for each, and tells the
 * browser how far it is and, in the end, the label.
 */
#ifndef ET_BUCKET_CLASSIFIER_H
#define ET_BUCKET_CLASSIFIER_H

#include "base/base.h"

struct api;
struct items;
struct bucket_classifier;

struct bucket_classifier_options {
    struct api *api;
    struct items *items;
    const char *bucket, *owner;
    const char *classifier; /* id of a document of the owner's */
};

/* Errors: NOT_FOUND, there is no such classifier. */
enum status bucket_classifier_new(const struct bucket_classifier_options *options,
                                  struct bucket_classifier **ret_classifier, struct error *err);
enum status bucket_classifier_start(struct bucket_classifier *c, struct error *err);
void bucket_classifier_stop(struct bucket_classifier *c); /* the server is stopping; NULL is fine */
void bucket_classifier_free(struct bucket_classifier *c); /* NULL is fine */

#endif
