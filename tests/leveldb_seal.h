/*
 * leveldb_seal.h - the checksums of LevelDB's files, for tests that forge such files.
 *
 * Source: LevelDB's doc/table_format.md and doc/log_format.md; CRC-32C is RFC 3720, appendix B.4.
 */
#ifndef ET_LEVELDB_SEAL_H
#define ET_LEVELDB_SEAL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { LEVELDB_LOG_BLOCK = 32768, LEVELDB_LOG_HEADER = 7, LEVELDB_FOOTER = 48, LEVELDB_TRAILER = 5 };

static inline uint32_t leveldb_crc32c(const void *bytes, size_t size)
{
    const uint8_t *at = (const uint8_t *)bytes;
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* The four bytes, low one first, that LevelDB stores for a checksum. */
static inline void leveldb_put_checksum(uint8_t out[4], const void *bytes, size_t size)
{
    uint32_t crc = leveldb_crc32c(bytes, size);
    uint32_t masked = (crc >> 15 | crc << 17) + 0xa282ead8u;
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(masked >> 8 * i);
}

/* Makes the checksum of each record of a log or MANIFEST right. */
static inline void leveldb_seal_log(uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at + LEVELDB_LOG_HEADER <= size;) {
        size_t block_end = at / LEVELDB_LOG_BLOCK * LEVELDB_LOG_BLOCK + LEVELDB_LOG_BLOCK;
        size_t end = block_end < size ? block_end : size;
        size_t length = bytes[at + 4] | (size_t)bytes[at + 5] << 8;
        if (end - at < LEVELDB_LOG_HEADER || length > end - at - LEVELDB_LOG_HEADER) {
            at = block_end;
            continue;
        }
        leveldb_put_checksum(bytes + at, bytes + at + 6, 1 + length);
        at += LEVELDB_LOG_HEADER + length;
    }
}

/* Reads up to size bytes; 0 when they hold no number. */
static inline size_t leveldb_varint(const uint8_t *bytes, size_t size, uint64_t *ret_value)
{
    *ret_value = 0;
    for (size_t i = 0; i < size && i < 10; i++) {
        *ret_value |= (uint64_t)(bytes[i] & 0x7f) << 7 * i;
        if (!(bytes[i] & 0x80))
            return i + 1;
    }
    return 0;
}

/* The block that a handle leads to; false when that is outside the file. */
static inline int leveldb_seal_block(uint8_t *bytes, size_t size, const uint8_t *handle, size_t handle_size,
                                     uint64_t *ret_offset, uint64_t *ret_size)
{
    size_t used = leveldb_varint(handle, handle_size, ret_offset);
    if (!used || !leveldb_varint(handle + used, handle_size - used, ret_size) || *ret_offset > size ||
        *ret_size > size - *ret_offset || size - *ret_offset - *ret_size < LEVELDB_TRAILER)
        return 0;
    uint8_t *block = bytes + *ret_offset;
    leveldb_put_checksum(block + *ret_size + 1, block, *ret_size + 1);
    return 1;
}

/* Makes the checksums of a table right: of its index, where that is not compressed, and of what it leads to.
 */
static inline void leveldb_seal_table(uint8_t *bytes, size_t size)
{
    uint64_t offset, length, fields[3];
    if (size < LEVELDB_FOOTER)
        return;
    const uint8_t *footer = bytes + size - LEVELDB_FOOTER;
    size_t meta = leveldb_varint(footer, 20, &offset);
    meta += leveldb_varint(footer + meta, 20, &length);
    if (!leveldb_seal_block(bytes, size, footer + meta, 40 - meta, &offset, &length))
        return;
    const uint8_t *at = bytes + offset, *end = at + length;
    while (at < end) {
        for (int i = 0; i < 3; i++) {
            size_t used = leveldb_varint(at, (size_t)(end - at), &fields[i]);
            if (!used)
                return;
            at += used;
        }
        if (fields[1] > (uint64_t)(end - at) || fields[2] > (uint64_t)(end - at) - fields[1])
            return;
        uint64_t block_offset, block_size;
        leveldb_seal_block(bytes, size, at + fields[1], (size_t)fields[2], &block_offset, &block_size);
        at += fields[1] + fields[2];
    }
    /* Once more, for a block over the index has changed it. */
    leveldb_put_checksum(bytes + offset + length + 1, bytes + offset, (size_t)length + 1);
}

#endif
