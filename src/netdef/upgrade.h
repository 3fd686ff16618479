/*
 * upgrade.h - legacy forms into today's, in place.
 *
 *   V0 layers { layer { type: "conv" } } -> V1 layers { type: CONVOLUTION }
 *   V1 scale, mean_file... in data_param -> transform_param
 *   V1 layers { blobs_lr: 1 }            -> layer { param { lr_mult: 1 } }
 *   input, input_dim, input_shape        -> an Input layer in front
 *   BatchNorm with three params          -> their multipliers are 0
 *   solver_type: NESTEROV                -> type: "Nesterov"
 *
 * As Caffe does, V0 fields that do not belong to the layer's type are dropped.
 */
#ifndef ET_NETDEF_UPGRADE_H
#define ET_NETDEF_UPGRADE_H

#include "netdef/netdef.h"

/* Errors: INVALID for what Caffe refuses; the net is then good for freeing only. */
enum status net_upgrade(Caffe__NetParameter *net, struct error *err);
enum status solver_upgrade(Caffe__SolverParameter *solver, struct error *err);

/* The first step alone: every layers[i]->layer is gone afterwards. */
enum status net_upgrade_v0(Caffe__NetParameter *net, struct error *err);

#endif
