/* Philox4x32-10 against the known answers of Random123 (kat_vectors), and the moments and independence of
 * what is drawn. */
#include "check.h"
#include "rng.h"

#include <string.h>

static void known_answers(void) {
    static const struct {
        struct frx_philox counter;
        uint32_t key[2];
        struct frx_philox expected;
    } cases[] = {
        {{{0, 0, 0, 0}}, {0, 0}, {{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}}},
        {{{0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu}},
         {0xffffffffu, 0xffffffffu},
         {{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}}},
        {{{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}},
         {0xa4093822u, 0x299f31d0u},
         {{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct frx_philox got = frx_philox4x32(cases[i].counter, cases[i].key[0], cases[i].key[1]);
        CHECK(memcmp(&got, &cases[i].expected, sizeof got) == 0, "known answer %zu: %08x", i, got.v[0]);
    }
}

static void normals(void) {
    enum { n_draw = 200000 };
    double m1 = 0, m2 = 0, m4 = 0, cross = 0, serial = 0, previous = 0;
    for (uint32_t s = 0; s < n_draw; s++) {
        float z[4];
        frx_rng_normal4(frx_rng_draw(7, FRX_RNG_TEST, 3, s, 11), z);
        for (int k = 0; k < 4; k++) {
            m1 += z[k];
            m2 += z[k] * z[k];
            m4 += (double)z[k] * z[k] * z[k] * z[k];
        }
        cross += z[0] * z[1] + z[2] * z[3];
        serial += previous * z[0];
        previous = z[0];
    }
    const double n = 4.0 * n_draw; /* limits: five standard errors */
    CHECK_NEAR(m1 / n, 0, 5 / sqrt(n));
    CHECK_NEAR(m2 / n, 1, 5 * sqrt(2 / n));
    CHECK_NEAR(m4 / n, 3, 5 * sqrt(96 / n));
    CHECK_NEAR(cross / (n / 2), 0, 5 / sqrt(n / 2));
    CHECK_NEAR(serial / n_draw, 0, 5 / sqrt(n_draw));
}

static void uniforms(void) {
    CHECK(frx_rng_uniform(0) > 0 && frx_rng_uniform(UINT32_MAX) < 1, "open interval");
    double sum = 0;
    enum { n_draw = 100000 };
    for (uint32_t s = 0; s < n_draw; s++) sum += frx_rng_uniform(frx_rng_draw(1, FRX_RNG_TEST, 0, s, 0).v[0]);
    CHECK_NEAR(sum / n_draw, 0.5, 5 * sqrt(1.0 / 12 / n_draw));
}

/* Every coordinate of a draw matters: changing any one changes all words. */
static void separation(void) {
    const struct frx_philox base = frx_rng_draw(1, FRX_RNG_NOISE, 2, 3, 4);
    const struct frx_philox other[] = {
        frx_rng_draw(2, FRX_RNG_NOISE, 2, 3, 4),
        frx_rng_draw(1, FRX_RNG_VELOCITY, 2, 3, 4),
        frx_rng_draw(1, FRX_RNG_NOISE, 3, 3, 4),
        frx_rng_draw(1, FRX_RNG_NOISE, 2, 4, 4),
        frx_rng_draw(1, FRX_RNG_NOISE, 2, 3 + (UINT64_C(1) << 32), 4),
        frx_rng_draw(1, FRX_RNG_NOISE, 2, 3, 5),
        frx_rng_draw(1 + (UINT64_C(1) << 40), FRX_RNG_NOISE, 2, 3, 4),
    };
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        for (int k = 0; k < 4; k++) CHECK(other[i].v[k] != base.v[k], "variation %zu keeps word %d", i, k);
}

int main(void) {
    known_answers();
    normals();
    uniforms();
    separation();
    return frx_check_result();
}
