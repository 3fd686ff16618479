/* softmax.h - the softmax that Softmax and SoftmaxWithLoss share. */
#ifndef ET_SOFTMAX_H
#define ET_SOFTMAX_H

#include <stdint.h>

/* y = softmax of x over the middle axis; both (outer, classes, inner), plain.  NaN anywhere in a row fills
 * it. */
void softmax_rows(int64_t outer, int64_t classes, int64_t inner, const float *x, float *y);

#endif
