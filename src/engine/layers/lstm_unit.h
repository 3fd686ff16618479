/*
 * lstm_unit.h - one step of an LSTM, behind the matrix products.
 *
 *   gates (N,4D), rows of i, f, o, g before their nonlinearity
 *   c = cont f c_before + i g,   h = o tanh(c)
 *
 * cont (N) cuts the sequence of a stream where it is 0.  All arrays are
 * (N,D) but for the gates.
 */
#ifndef ET_LSTM_UNIT_H
#define ET_LSTM_UNIT_H

#include <stddef.h>

/* Leaves i, cont f, o, g in `gates`; h or c may not overlap what is read. */
void lstm_unit_forward(size_t n, size_t d, const float *cont, const float *c_before, float *gates, float *c,
                       float *h);

/*
 * gates as forward left them; dc is the gradient that reaches c from the next
 * step, NULL for none.  Writes the gradients of the gates before their
 * nonlinearity, and of c_before (may be dc, or NULL).
 */
void lstm_unit_backward(size_t n, size_t d, const float *c_before, const float *gates, const float *c,
                        const float *dh, const float *dc, float *dgates, float *dc_before);

#endif
