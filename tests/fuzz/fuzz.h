/*
 * fuzz.h - a fuzz target: one function that libFuzzer, or replay.c, calls
 * with one input.  It must return 0 and leave nothing behind.
 *
 *   CC=clang meson setup build-fuzz -Dfuzz=true -Dwerror=false -Db_lundef=false \
 *       -Db_sanitize=address,undefined
 *   ninja -C build-fuzz tests/fuzz/fuzz_NAME
 *   build-fuzz/tests/fuzz/fuzz_NAME -max_total_time=600 NEW_FOLDER tests/fuzz/corpus/NAME
 */
#ifndef ET_FUZZ_H
#define ET_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
