/*
 * kind.h - which vectors this processor has.
 *
 * The loops beside it are compiled once for each kind, by the names of
 * VECTORS_NAME; whoever runs them takes those of vectors_kind().
 */
#ifndef ET_VECTORS_KIND_H
#define ET_VECTORS_KIND_H

enum vectors_kind { VECTORS_ANY, VECTORS_AVX2, VECTORS_AVX512, VECTORS_KINDS };

/* As far as oneDNN is allowed to use them. */
enum vectors_kind vectors_kind(void);

#endif
