/*
 * rng.h - seeded random numbers (xoshiro256**, Blackman and Vigna 2018):
 * small, fast, and its state can be written into a snapshot.
 */
#ifndef ET_RNG_H
#define ET_RNG_H

#include "base/base.h"

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
/* A further generator, independent of r: one for each layer. */
struct rng rng_split(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n); /* uniform in [0, n) */
double rng_uniform(struct rng *r);             /* [0, 1) */
double rng_gaussian(struct rng *r);            /* mean 0, deviation 1 */

#endif
