/*
 * net_debug.h - debug_info: what each layer did, in the words of Caffe's log.
 *
 *   [Forward] Layer ip, top blob ip data: 0.5
 *
 * The numbers are means of absolute values.  To be called when the layer has
 * just run, while its memory still is its own.  The layers inside RNN and
 * LSTM, which Caffe's own debug_info there names, do not exist here.
 */
#ifndef ET_NET_DEBUG_H
#define ET_NET_DEBUG_H

#include "engine/net_internal.h"

void net_debug_forward(const struct net *net, int layer);
void net_debug_backward(const struct net *net, int layer);
/* The norms of all parameters and of their gradients, after a backward pass. */
void net_debug_params(const struct net *net);

#endif
