/* The CPU engine's parts, each against something simple: tanh, matrix products, the neighbour lists, and
 * priors where their geometry is singular. */
#include "check.h"
#include "dense.h"
#include "make_system.h"
#include "neighbours.h"
#include "prior.h"
#include "simd.h"

#include <stdlib.h>
#include <string.h>

static void test_tanh(void) {
    double worst = 0;
    enum { n = 1000 };
    for (double exponent = -12; exponent < 2; exponent += 0.02) {
        float x[n];
        double exact[n];
        for (int k = 0; k < n; k++) {
            x[k] = (float)((k % 2 ? -1 : 1) * pow(10, exponent + 2e-5 * k));
            exact[k] = tanh((double)x[k]);
        }
        frx_tanh(n, x);
        for (int k = 0; k < n; k++) worst = fmax(worst, fabs((double)x[k] / exact[k] - 1));
    }
    CHECK(worst < 3e-7, "relative error %g", worst);
    float special[4] = {0, INFINITY, -INFINITY, NAN};
    frx_tanh(4, special);
    CHECK(special[0] == 0 && special[1] == 1 && special[2] == -1 && isnan(special[3]), "%g %g %g %g",
          (double)special[0], (double)special[1], (double)special[2], (double)special[3]);
}

/* Every number of rows, and rows that do not care about their number. */
static void test_gemm(void) {
    enum { n_max = 14, n_in = 128, n_out = 64 }; /* whole slices, whatever the library's vectors are */
    float *x = aligned_alloc(FRX_ALIGNMENT, n_max * n_in * sizeof *x);
    float *w = aligned_alloc(FRX_ALIGNMENT, n_in * n_out * sizeof *w);
    float *y = aligned_alloc(FRX_ALIGNMENT, n_max * n_out * sizeof *y);
    float *all = aligned_alloc(FRX_ALIGNMENT, n_max * n_out * sizeof *all);
    float *bias = aligned_alloc(FRX_ALIGNMENT, n_out * sizeof *bias);
    for (int k = 0; k < n_max * n_in; k++) x[k] = (float)frx_test_normal(1, (uint32_t)k);
    for (int k = 0; k < n_in * n_out; k++) w[k] = (float)frx_test_normal(2, (uint32_t)k);
    for (int k = 0; k < n_out; k++) bias[k] = (float)frx_test_normal(3, (uint32_t)k);
    frx_gemm(n_max, n_in, n_out, x, w, bias, 0, all);
    for (int n = 1; n <= n_max; n++) {
        frx_gemm(n, n_in, n_out, x, w, bias, 0, y);
        CHECK(memcmp(y, all, (size_t)n * n_out * sizeof *y) == 0, "%d rows", n);
        frx_gemm(n, n_in, n_out, x, w, NULL, 1, y);
        for (int i = 0; i < n; i++)
            for (int o = 0; o < n_out; o++) {
                double sum = 0;
                for (int k = 0; k < n_in; k++) sum += (double)x[i * n_in + k] * (double)w[k * n_out + o];
                CHECK_NEAR(y[i * n_out + o], 2 * sum + (double)bias[o], 2e-4);
            }
    }
    free(x);
    free(w);
    free(y);
    free(all);
    free(bias);
}

/* The list against all pairs; more beads than the brute-force limit go through cells. `spread` in Angstrom.
 */
static void check_neighbours(int n, double spread, double r_cut) {
    double *x = malloc(3 * (size_t)n * sizeof *x);
    for (int k = 0; k < 3 * n; k++) x[k] = spread * frx_test_normal(5, (uint32_t)k);
    struct frx_neighbours list;
    CHECK_OK(frx_neighbours_create(n, r_cut, &list));
    CHECK_OK(frx_neighbours_find(&list, x));
    int p = 0, wrong = 0;
    for (int i = 0; i < n; i++) {
        wrong += list.first[i] != p;
        for (int j = i + 1; j < n; j++) {
            const double d[3] = {x[3 * i] - x[3 * j], x[3 * i + 1] - x[3 * j + 1],
                                 x[3 * i + 2] - x[3 * j + 2]};
            const double r = sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
            if (r >= r_cut) continue;
            if (p >= list.n_pair || list.i[p] != i || list.j[p] != j || fabs(list.r[p] - r) > 1e-13 * r)
                wrong++;
            for (int k = 0; k < 3; k++) wrong += fabs(list.unit[3 * p + k] - d[k] / r) > 1e-12;
            p++;
        }
    }
    CHECK(wrong == 0 && p == list.n_pair, "%d beads over %g A: %d wrong, %d of %d pairs", n, spread, wrong, p,
          list.n_pair);
    frx_neighbours_clear(&list);
    free(x);
}

static void test_neighbours(void) {
    check_neighbours(1, 1, 5);
    check_neighbours(2, 1, 50);
    check_neighbours(200, 8, 10);
    check_neighbours(FRX_BRUTE_FORCE_LIMIT, 15, 10);
    check_neighbours(FRX_BRUTE_FORCE_LIMIT + 1, 15, 10);
    check_neighbours(1500, 20, 10);
    check_neighbours(1500, 1000, 10); /* far apart: fewer cells than the box would hold */
    check_neighbours(1200, 0.5, 10);  /* all pairs: the list grows */
    check_neighbours(1500, 0, 10 + 1e-9 * FRX_BRUTE_FORCE_LIMIT); /* all in one point: r = 0 */
}

/* Energy of one term and its forces, against differences where `compare`; finite in any case. */
static void check_prior(const char *name, enum frx_feature feature, enum frx_form form, int n_param,
                        const double *params, const double x[4][3], int compare) {
    int32_t atoms[4] = {0, 1, 2, 3};
    struct frx_prior prior = {.feature = feature,
                              .form = form,
                              .n_term = 1,
                              .order = frx_feature_order(feature),
                              .n_param = n_param,
                              .atoms = atoms,
                              .params = (double *)params};
    double positions[12], forces[12] = {0}, scratch[12];
    memcpy(positions, x, sizeof positions);
    const double energy = frx_prior_eval(&prior, positions, forces), h = 1e-5;
    CHECK(isfinite(energy), "%s: energy %g", name, energy);
    for (int k = 0; k < 3 * prior.order; k++) {
        CHECK(isfinite(forces[k]), "%s: force %g", name, forces[k]);
        if (!compare) continue;
        positions[k] = x[k / 3][k % 3] + h;
        const double up = frx_prior_eval(&prior, positions, scratch);
        positions[k] = x[k / 3][k % 3] - h;
        const double down = frx_prior_eval(&prior, positions, scratch);
        positions[k] = x[k / 3][k % 3];
        CHECK_NEAR(forces[k], -(up - down) / (2 * h), 1e-6 * (1 + fabs(forces[k])));
    }
}

static void test_priors(void) {
    const double general[4][3] = {{0.1, 3.6, 0.4}, {0, 0, 0}, {3.7, 0.2, -0.1}, {4.5, 1.9, 3.1}};
    const double line[4][3] = {{0, 0, 0}, {3, 0, 0}, {6, 0, 0}, {9, 0, 0}};
    const double folded[4][3] = {{3, 0, 0}, {0, 0, 0}, {3, 0, 0}, {0, 0, 0}}; /* angle 0 */
    const double almost[4][3] = {{0, 0, 0}, {3, 1e-9, 0}, {6, 0, 1e-9}, {9, 0, 0}};
    static const struct {
        const char *name;
        enum frx_feature feature;
        enum frx_form form;
        int n_param;
        double params[5];
    } terms[] = {
        {"cosine", FRX_FEATURE_ANGLE_COS, FRX_FORM_HARMONIC, 2, {4, 0.3}},
        {"restricted", FRX_FEATURE_ANGLE_COS, FRX_FORM_RESTRICTED, 4, {0.5, 0.1, 0.7, 1}},
        {"angle", FRX_FEATURE_ANGLE, FRX_FORM_HARMONIC, 2, {3, 1.9}},
        {"angle well", FRX_FEATURE_ANGLE, FRX_FORM_GAUSSIAN, 3, {3, 1.5, 0.3}},
        {"torsion", FRX_FEATURE_TORSION, FRX_FORM_FOURIER, 5, {0.2, 1, -0.7, 0.5, 0.4}},
        {"shifted", FRX_FEATURE_TORSION_SHIFTED, FRX_FORM_HARMONIC, 2, {2, 0.6}},
        {"distance", FRX_FEATURE_DISTANCE, FRX_FORM_POLYNOMIAL, 4, {1, 0.5, -0.2, 0.03}},
        {"repulsion", FRX_FEATURE_DISTANCE, FRX_FORM_REPULSION, 1, {3.3}},
        {"radius", FRX_FEATURE_RADIUS_SQUARED, FRX_FORM_POLYNOMIAL, 3, {0.3, 0.5, 0.01}},
    };
    for (size_t k = 0; k < sizeof terms / sizeof terms[0]; k++) {
        check_prior(terms[k].name, terms[k].feature, terms[k].form, terms[k].n_param, terms[k].params,
                    general, 1);
        check_prior(terms[k].name, terms[k].feature, terms[k].form, terms[k].n_param, terms[k].params, line,
                    0);
        check_prior(terms[k].name, terms[k].feature, terms[k].form, terms[k].n_param, terms[k].params, folded,
                    0);
        check_prior(terms[k].name, terms[k].feature, terms[k].form, terms[k].n_param, terms[k].params, almost,
                    0);
    }
    /* the sign of the torsion: +90 degrees turns clockwise, seen from atom 1 to atom 2 */
    const double quarter[12] = {0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 0, -1};
    double forces[12] = {0};
    int32_t atoms[4] = {0, 1, 2, 3};
    double identity[2] = {0, 1};
    struct frx_prior prior = {.feature = FRX_FEATURE_TORSION,
                              .form = FRX_FORM_POLYNOMIAL,
                              .n_term = 1,
                              .order = 4,
                              .n_param = 2,
                              .atoms = atoms,
                              .params = identity};
    const double seen = frx_prior_eval(&prior, quarter, forces);
    CHECK_NEAR(seen, -1.5707963267948966, 1e-12);
    prior.feature = FRX_FEATURE_TORSION_SHIFTED;
    CHECK_NEAR(frx_prior_eval(&prior, quarter, forces), 1.5707963267948966, 1e-6);
    /* what is broken stays visible: beads on top of each other, coordinates that are not numbers */
    double broken[12];
    memcpy(broken, quarter, sizeof broken);
    broken[4] = NAN;
    CHECK(isnan(frx_prior_eval(&prior, broken, forces)), "NaN goes through");
}

int main(void) {
    test_tanh();
    test_gemm();
    test_neighbours();
    test_priors();
    return frx_check_result();
}
