/* Mixed precision samples what single precision samples: potential energies of replicas at 300 K, each run
 * with its own noise, compared by the two-sample Kolmogorov-Smirnov test. `long`: a larger molecule, some
 * minutes (docs/performance.md). Skipped without a GPU.
 *
 * Source of the test: Smirnov, Ann. Math. Stat. 19, 279 (1948). Samples must be independent: the correlation
 * of successive samples of a replica is measured and has to be small. */
#include "check.h"
#include "cuda_engine.h"
#include "make_system.h"
#include "physics.h"
#include "units.h"

#include <cuda_runtime_api.h>
#include <stdlib.h>
#include <string.h>

struct plan {
    int n_rep, n_sample, n_between, n_equilibrate;
    int separate_kernels; /* of a small molecule: the kernels of large ones, not one for whole steps */
};

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorted energies [n_sample n_rep] of a run; the correlation of successive samples is checked. */
static double *sample(const struct frx_system *system, enum frx_precision precision, const struct plan *plan,
                      double kelvin, uint64_t seed) {
    const struct physics_case c = {
        .engine = &frx_cuda_engine, .precision = precision, .separate_kernels = plan->separate_kernels};
    struct frx_engine_options options = physics_options(&c, plan->n_rep);
    options.timestep = 0.004;
    options.friction = 2;
    options.seed = seed;
    struct frx_engine *engine = physics_engine(&c, system, &options);
    const size_t n_rep = (size_t)plan->n_rep, n = n_rep * (size_t)plan->n_sample;
    double *energy = calloc(n + n_rep, sizeof *energy), *beta = energy + n;
    for (size_t r = 0; r < n_rep; r++) beta[r] = FRX_BETA_OF_KELVIN(kelvin);
    CHECK_OK(c.engine->set_temperatures(engine, beta, NULL));
    CHECK_OK(c.engine->draw_velocities(engine));
    CHECK_OK(c.engine->propagate(engine, 0, plan->n_equilibrate));
    for (int s = 0; s < plan->n_sample; s++) {
        CHECK_OK(
            c.engine->propagate(engine, plan->n_equilibrate + (int64_t)s * plan->n_between, plan->n_between));
        CHECK_OK(c.engine->energies(engine, energy + (size_t)s * n_rep));
    }
    c.engine->destroy(engine);
    double mean = 0, variance = 0, product = 0;
    for (size_t k = 0; k < n; k++) mean += energy[k] / (double)n;
    for (size_t k = 0; k < n; k++) {
        variance += (energy[k] - mean) * (energy[k] - mean) / (double)n;
        if (k + n_rep < n) product += (energy[k] - mean) * (energy[k + n_rep] - mean) / (double)(n - n_rep);
    }
    printf("%s, %g K: %zu energies, mean %.4f +- %.4f, standard deviation %.4f kcal/mol, correlation of "
           "successive ones %.3f\n",
           precision == FRX_PRECISION_MIXED ? "mixed" : "single", kelvin, n, mean, sqrt(variance / (double)n),
           sqrt(variance), product / variance);
    CHECK(product / variance < 0.1, "samples are correlated: %g", product / variance);
    qsort(energy, n, sizeof *energy, ascending);
    return energy;
}

/* Largest distance of the distribution functions of two sorted samples of n numbers. */
static double distance(const double *a, const double *b, size_t n) {
    double largest = 0;
    for (size_t i = 0, j = 0; i < n && j < n;) {
        const double x = fmin(a[i], b[j]);
        while (i < n && a[i] <= x) i++;
        while (j < n && b[j] <= x) j++;
        largest = fmax(largest, fabs((double)i - (double)j) / (double)n);
    }
    return largest;
}

static void compare(const struct frx_system *system, const struct plan *plan) {
    const size_t n = (size_t)plan->n_rep * (size_t)plan->n_sample;
    printf("%d beads, %s\n", system->n_bead, plan->separate_kernels ? "separate kernels" : "one kernel");
    double *single = sample(system, FRX_PRECISION_SINGLE, plan, 300, 1);
    double *mixed = sample(system, FRX_PRECISION_MIXED, plan, 300, 2);
    double *warmer = sample(system, FRX_PRECISION_MIXED, plan, 309, 3); /* control */
    const double limit = 1.95 * sqrt(2 / (double)n);                    /* exceeded once in 1,000 */
    const double d = distance(single, mixed, n), control = distance(single, warmer, n);
    printf("Kolmogorov-Smirnov: mixed and single %.4f, limit %.4f; control, 3 %% warmer: %.4f\n", d, limit,
           control);
    CHECK(d < limit, "%g", d);
    CHECK(control > 1.5 * limit, "control: %g", control);
    free(single);
    free(mixed);
    free(warmer);
}

int main(int argc, char **argv) {
    int n_device = 0;
    if (cudaGetDeviceCount(&n_device) != cudaSuccess || n_device == 0) {
        puts("no GPU: skipped");
        return FRX_TEST_SKIP;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    const int is_long = argc > 1 && strcmp(argv[1], "long") == 0;
    struct frx_test_model model = frx_test_model_default();
    model.priors = FRX_TEST_PRIORS_SMOOTH;
    struct plan plan = {512, 16, 2500, 4000, 0};
    if (is_long) {
        model.n_bead = 50, model.n_hidden = model.n_filter = 128, model.n_interaction = 4;
        plan = (struct plan){512, 8, 3500, 8000, 1}; /* after 8 ps energies still correlate by 0.1 */
    }
    struct frx_system system;
    frx_test_system_make(&model, &system);
    for (; plan.separate_kernels < 2; plan.separate_kernels++) compare(&system, &plan);
    frx_system_clear(&system);
    return frx_check_result();
}
