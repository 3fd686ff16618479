/*
 * deploy_net.h - the net that labels pictures, from the net that was trained.
 */
#ifndef ET_DEPLOY_NET_H
#define ET_DEPLOY_NET_H

#include "netdef/netdef.h"

struct deploy_net {
    char *text;   /* prototxt; the caller frees */
    double scale; /* for pictures in [0,1], as a classifier's `scale` */
    int channels, height, width;
};

/*
 * From `net` (as trained, upgraded): the TEST phase without its data layer,
 * Accuracy and losses; an Input layer for one picture at a time before it,
 * and Softmax in the place of SoftmaxWithLoss.
 *
 * image_shape: channels, height, width of the training pictures; zeros when
 * they are not all equal, and then the net's own crop or new size must say.
 * Errors: UNSUPPORTED, with what the caller has to write himself: several
 * data layers, a mean to subtract, no loss that tells where the labels are.
 */
enum status deploy_net_derive(const Caffe__NetParameter *net, const int image_shape[3],
                              struct deploy_net *ret_deploy, struct error *err);

#endif
