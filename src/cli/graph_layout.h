/*
 * graph_layout.h - where the boxes of a directed graph without cycles go, top
 * to bottom.
 *
 *   rank    below all that it depends on; edges over several ranks get a bend in each
 *   order   few crossings: each rank sorted by where its neighbours are, to and fro
 *   place   x as near to the neighbours as the boxes' widths allow
 *
 * Units are the caller's (pixels).  x and y are of centres.
 */
#ifndef ET_GRAPH_LAYOUT_H
#define ET_GRAPH_LAYOUT_H

#include "base/base.h"

struct point {
    double x, y;
};

struct graph_node {
    double width, height; /* given */
    struct point at;      /* found */
};

struct graph_edge {
    int from, to; /* given; from < to: nodes come in an order of dependence */
    int n_bends;  /* found: between the two ends, top to bottom */
    struct point *bends;
};

struct graph {
    int n_nodes;
    struct graph_node *nodes;
    int n_edges;
    struct graph_edge *edges;
    double width, height; /* found: of the whole */
};

/* gap_x between boxes beside each other, gap_y between ranks. */
void graph_layout(struct graph *g, double gap_x, double gap_y);
/* Frees the bends. */
void graph_release_bends(struct graph *g);

#endif
