/* Torsions where three of their beads are nearly on a line: the energy is continuous, the force is its
 * derivative and stays small. Without the fading (FRX_STRAIGHT_SINE) a force grows as 1/sin and a replica
 * that comes within a hundredth of a degree of a line is thrown apart, which happens once in some ten million
 * steps of an unfolded C-alpha chain. */
#include "check.h"
#include "make_system.h"
#include "physics.h"

#include <stdlib.h>
#include <string.h>

enum { N_BEAD = 6, SIZE = 3 * N_BEAD, N_AZIMUTH = 8 };
#define BOND 3.8

/* A chain with angles of 110 degrees and a helical twist, except that the angle at bead 2 is straight but for
 * `sine`, bent towards `azimuth`. */
static void make_bent(double sine, double azimuth, double *x) {
    const double tilt = sine, s = sin(1.2), c = cos(1.2);
    /* beads 0, 1 before the straight piece 1-2-3 along z, beads 4, 5 behind */
    const double step[N_BEAD - 1][3] = {{s, 0, c},
                                        {0, 0, 1},
                                        {tilt * cos(azimuth), tilt * sin(azimuth), sqrt(1 - tilt * tilt)},
                                        {s * cos(0.9), s * sin(0.9), c},
                                        {s * cos(2.5), s * sin(2.5), c}};
    for (int k = 0; k < 3; k++) x[k] = 0;
    for (int i = 1; i < N_BEAD; i++)
        for (int k = 0; k < 3; k++) x[3 * i + k] = x[3 * i - 3 + k] + BOND * step[i - 1][k];
}

/* Largest deviation of a force component from central differences of the energy, kcal/mol/A. */
static double gradient_error(const struct physics_case *c, const struct frx_system *system, double sine) {
    enum { N_POINT = 4, N = 1 + N_POINT * SIZE };
    static const double offset[N_POINT] = {-2, -1, 1, 2}, factor[N_POINT] = {1, -8, 8, -1};
    const double h = physics_limit(c, 1.0 / 4096, 1.0 / 256, 1.0 / 256);
    static double x[N][SIZE], energy[N], forces[N][SIZE];
    double worst = 0;
    for (int r = 0; r < N; r++) {
        make_bent(sine, 0.4, x[r]);
        for (int k = 0; k < SIZE; k++) x[r][k] = round(x[r][k] * 4096) / 4096; /* as floats can be */
        if (r > 0) x[r][(r - 1) / N_POINT] += h * offset[(r - 1) % N_POINT];
    }
    CHECK_OK(physics_evaluate(c, system, N, x[0], energy, forces[0]));
    for (int k = 0; k < SIZE; k++) {
        double slope = 0;
        for (int q = 0; q < N_POINT; q++) slope += factor[q] * energy[1 + N_POINT * k + q] / (12 * h);
        worst = fmax(worst, fabs(forces[0][k] + slope));
    }
    return worst;
}

int physics_straight(const struct physics_case *c) {
    struct frx_system system;
    struct frx_test_model model = frx_test_model_default();
    model.n_bead = N_BEAD;
    model.n_hidden = 0;
    model.priors = FRX_TEST_PRIORS_TORSION;
    frx_test_system_make(&model, &system);

    static const double sines[] = {1e-5, 1e-4, 1e-3, 3e-3, 0.01, 0.02, 0.03, 0.04, 0.049, 0.051, 0.07};
    enum { N_SINE = sizeof sines / sizeof sines[0], N = N_SINE * N_AZIMUTH };
    static double x[N][SIZE], energy[N], forces[N][SIZE];
    for (int n = 0; n < N; n++)
        make_bent(sines[n / N_AZIMUTH], 0.1 + 2 * M_PI * (n % N_AZIMUTH) / N_AZIMUTH, x[n]);
    CHECK_OK(physics_evaluate(c, &system, N, x[0], energy, forces[0]));
    double most = 0, spread[N_SINE] = {0};
    for (int n = 0; n < N; n++) {
        for (int k = 0; k < SIZE; k++) most = fmax(most, fabs(forces[n][k]));
        for (int m = n - n % N_AZIMUTH; m < n; m++)
            spread[n / N_AZIMUTH] = fmax(spread[n / N_AZIMUTH], fabs(energy[n] - energy[m]));
    }
    /* Two torsions share the bend at bead 2. Of each: |V - level| < 1.4 times dS/dsin < 44.6 times 2/3.8 for
     * the bead in the middle, which two bonds hold: 33; and V' < 1.9 times S/sin < 17.6 over 3.8: 9. */
    const double bound = 2 * (33 + 9), unfaded = 1.9 / (BOND * sines[2]);
    CHECK(most < bound, "a force of %g kcal/mol/A near a line", most);
    CHECK(unfaded > 5 * bound, "the unfaded force would be %g and the limit would not see it", unfaded);
    CHECK(spread[0] < 1e-6 && spread[1] < 1e-5, "the energy jumps by %g across the line", spread[0]);
    CHECK(spread[N_SINE - 1] > 1, "beyond the fading it depends on the torsion: by %g", spread[N_SINE - 1]);

    static const double probe[] = {0.006, 0.02, 0.035, 0.06};
    for (int k = 0; k < 4; k++) {
        const double error = gradient_error(c, &system, probe[k]);
        CHECK(error < physics_limit(c, 1e-5, 1e-2, 1e-2), "sine %g: force and gradient differ by %g",
              probe[k], error);
    }
    frx_system_clear(&system);
    return frx_check_result();
}
