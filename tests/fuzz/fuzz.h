/*
 * fuzz.h - a fuzz target: one function that libFuzzer, or replay.c, calls
 * with one input.  It must return 0 and leave nothing behind.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined ... fuzz_NAME.c
 *   ./fuzz_NAME corpus/NAME
 */
#ifndef ET_FUZZ_H
#define ET_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
