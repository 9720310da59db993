/* SHA-256, to say which file a result came from.
 *
 * Source: FIPS PUB 180-4, Secure Hash Standard (2015); its test vectors are in tests/io/test_sha256.c. */
#ifndef FRX_IO_SHA256_H
#define FRX_IO_SHA256_H

#include "status.h"

#include <stddef.h>
#include <stdint.h>

#define FRX_SHA256_TEXT 65 /* bytes of a digest in lower-case hexadecimal, terminator included */

struct frx_sha256 {
    uint32_t state[8];
    uint64_t n_byte;        /* taken so far */
    unsigned char tail[64]; /* the last n_byte % 64 of them, not yet digested */
};

/* Start, take n bytes, and write the digest of all bytes taken as text. Local. */
void frx_sha256_start(struct frx_sha256 *hash);
void frx_sha256_take(struct frx_sha256 *hash, const void *bytes, size_t n);
void frx_sha256_finish(struct frx_sha256 *hash, char text[FRX_SHA256_TEXT]);

/* Digest of a file's content. Errors: FRX_ERR_IO with path and reason. Local. */
FRX_CHECKED enum frx_status frx_sha256_file(const char *path, char text[FRX_SHA256_TEXT]);

#endif
