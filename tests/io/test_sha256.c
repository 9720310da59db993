/* SHA-256 against the vectors of FIPS 180-2, appendix B, and of NIST's example with a million bytes; taken in
 * one piece, byte by byte, and from a file. */
#include "check.h"
#include "sha256.h"

#include <stdlib.h>
#include <string.h>

static void check_digest(const char *bytes, size_t n, const char *expected) {
    char whole[FRX_SHA256_TEXT], pieces[FRX_SHA256_TEXT];
    struct frx_sha256 hash;
    frx_sha256_start(&hash);
    frx_sha256_take(&hash, bytes, n);
    frx_sha256_finish(&hash, whole);
    CHECK(strcmp(whole, expected) == 0, "%s, expected %s", whole, expected);
    frx_sha256_start(&hash);
    for (size_t i = 0; i < n; i++) frx_sha256_take(&hash, bytes + i, 1);
    frx_sha256_finish(&hash, pieces);
    CHECK(strcmp(pieces, expected) == 0, "%s, expected %s", pieces, expected);
}

int main(void) {
    check_digest("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_digest("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    check_digest(million, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");

    FILE *file = fopen("test_sha256.tmp", "wb");
    fwrite(million, 1, 1000000, file);
    fclose(file);
    free(million);
    char text[FRX_SHA256_TEXT];
    CHECK_OK(frx_sha256_file("test_sha256.tmp", text));
    CHECK(strcmp(text, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0") == 0, "%s", text);
    remove("test_sha256.tmp");
    CHECK_FAILS(frx_sha256_file("test_sha256.tmp", text), FRX_ERR_IO, "No such file");
    return frx_check_result();
}
