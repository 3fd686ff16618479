/* net_log.h - a new net in the words of Caffe's log: layers, wiring, shapes, memory. */
#ifndef ET_NET_LOG_H
#define ET_NET_LOG_H

#include "engine/net.h"

void net_log(const struct net *net);

#endif
