/*
 * outputs.h - the blobs of a net that nobody consumes: their values after a
 * forward pass, their sums over several, and how Caffe's log shows them.
 *
 * Outputs are counted by element, not by blob.
 */
#ifndef ET_OUTPUTS_H
#define ET_OUTPUTS_H

#include "engine/net.h"

struct output {
    const char *name; /* of the blob; lent by the net */
    int blob;
    size_t n;          /* elements */
    size_t n_max;      /* behind a Filter n may be less */
    float loss_weight; /* of the last layer that writes it */
};

struct outputs {
    int n;
    struct output *each;
    size_t n_values;
    float *values; /* of all blobs, one after the other */
    int n_passes;  /* added up */
};

void outputs_init(struct outputs *o, struct net *net);
void outputs_release(struct outputs *o);

/* The values of the net's last forward pass. */
void outputs_read(struct outputs *o, struct net *net);
/* Before the first outputs_add of a sum. */
void outputs_clear(struct outputs *o);
/* Adds them, element by element; the first pass decides how many there are (a Filter may pass less). */
void outputs_add(struct outputs *o, struct net *net);
void outputs_divide(struct outputs *o, int by);

/*
 * One line an element: "    Train net output #0: loss = 0.25 (* 1 = 0.25 loss)".
 * `title` is "    Train net output" or NULL, which leaves "loss = ...".
 */
void outputs_log(const struct outputs *o, const char *place, const char *title);

#endif
