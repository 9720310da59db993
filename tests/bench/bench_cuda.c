/* Speed of the CUDA engine on a molecule of 1ENH's size, without files: a random SchNet and priors, on a
 * compact chain in which as many pairs lie within the cutoff as in the crystal structure of 1ENH (44,036
 * directed pairs within 15 A).
 *
 *   bench_cuda [single|mixed] [beads n] [hidden n] [interactions n] [steps n] replicas ..
 *
 * Prints one line per number of replicas: time per step, replica-steps/s, memory; then the time of each
 * stage, measured one by one. Not a test: nothing is checked except that no replica diverges. */
#include "cuda_engine.h"
#include "make_system.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAIRS_PER_BEAD (44036.0 / 269)

static void stop_on(enum frx_status status) {
    if (status == FRX_OK) return;
    fprintf(stderr, "%s\n", frx_error_message());
    exit(1);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double distance(const double *x, int i, int j) {
    double r2 = 0;
    for (int k = 0; k < 3; k++) r2 += pow(x[3 * i + k] - x[3 * j + k], 2);
    return sqrt(r2);
}

static double pairs_per_bead(const struct frx_system *system, double scale, double r_cut) {
    int n = 0;
    for (int i = 0; i < system->n_bead; i++)
        for (int j = 0; j < system->n_bead; j++)
            n += i != j && scale * distance(system->structures, i, j) < r_cut;
    return (double)n / system->n_bead;
}

/* Terms of n_param parameters over atoms i, i + 1, .. (order of the feature), or, for repulsion, over all
 * pairs. */
static struct frx_prior *add_prior(struct frx_system *system, enum frx_feature feature, enum frx_form form,
                                   int n_param) {
    struct frx_prior *prior = &system->prior[system->n_prior++];
    const int order = frx_feature_order(feature), n = system->n_bead;
    const size_t most = form == FRX_FORM_REPULSION ? (size_t)n * n / 2 : (size_t)n;
    *prior = (struct frx_prior){.feature = feature, .form = form, .order = order, .n_param = n_param};
    snprintf(prior->name, sizeof prior->name, "term%d", system->n_prior);
    prior->atoms = calloc(most * order + 1, sizeof *prior->atoms);
    prior->params = calloc(most * n_param + 1, sizeof *prior->params);
    if (form == FRX_FORM_REPULSION) {
        for (int i = 0; i < n; i++)
            for (int j = i + 4; j < n; j++) {
                prior->params[prior->n_term] = 0.6 * distance(system->structures, i, j) < 2 ? 0.5 : 2;
                prior->atoms[2 * prior->n_term] = i;
                prior->atoms[2 * prior->n_term++ + 1] = j;
            }
    } else {
        for (; prior->n_term + order <= n; prior->n_term++)
            for (int k = 0; k < order; k++) prior->atoms[prior->n_term * order + k] = prior->n_term + k;
    }
    return prior;
}

static void make_system(const struct frx_test_model *model, struct frx_system *system) {
    frx_test_system_make(model, system);
    const int n = system->n_bead;
    double low = 0.2, high = 5;
    for (int k = 0; k < 40; k++) {
        const double middle = 0.5 * (low + high);
        if (pairs_per_bead(system, middle, model->r_cut) > fmin(PAIRS_PER_BEAD, 0.99 * (n - 1)))
            low = middle;
        else
            high = middle;
    }
    for (int k = 0; k < 3 * n; k++) system->structures[k] *= low;
    if (system->network) system->network->scale = 0.02; /* random forces that no prior holds */
    system->prior = calloc(5, sizeof *system->prior);
    struct frx_prior *bonds = add_prior(system, FRX_FEATURE_DISTANCE, FRX_FORM_HARMONIC, 2);
    for (int t = 0; t < bonds->n_term; t++) {
        bonds->params[2 * t] = 100;
        bonds->params[2 * t + 1] = distance(system->structures, t, t + 1);
    }
    struct frx_prior *angles = add_prior(system, FRX_FEATURE_ANGLE_COS, FRX_FORM_HARMONIC, 2);
    for (int t = 0; t < angles->n_term; t++) angles->params[2 * t] = 5;
    struct frx_prior *torsions = add_prior(system, FRX_FEATURE_TORSION, FRX_FORM_FOURIER, 7);
    for (int k = 0; k < 7 * torsions->n_term; k++) torsions->params[k] = 0.2;
    (void)add_prior(system, FRX_FEATURE_DISTANCE, FRX_FORM_REPULSION, 1);
    stop_on(frx_system_validate(system));
}

static void measure(const struct frx_system *system, struct frx_engine_options options, int n_step) {
    const struct frx_engine_class *gpu = &frx_cuda_engine;
    struct frx_engine *engine;
    struct frx_engine_report report;
    double *energy = malloc((size_t)options.n_rep * sizeof *energy);
    stop_on(gpu->create(system, &options, &engine));
    stop_on(gpu->draw_velocities(engine));
    if (options.time_stages) {
        const int few = n_step < 30 ? n_step : 30;
        stop_on(gpu->propagate(engine, 0, 3));
        stop_on(gpu->report(engine, &report));
        const struct frx_engine_report warm = report;
        stop_on(gpu->propagate(engine, 3, few));
        stop_on(gpu->report(engine, &report));
        double sum = 0;
        printf("  stages, us per step:");
        for (int k = 0; k < report.n_stage; k++) {
            const double time = 1e6 * (report.stage[k].seconds - warm.stage[k].seconds) / few;
            printf(" %s %.1f,", report.stage[k].name, time);
            sum += time;
        }
        printf(" sum %.1f\n", sum);
    } else {
        stop_on(gpu->propagate(engine, 0, 70)); /* captures the graphs */
        stop_on(gpu->energies(engine, energy));
        double best = INFINITY;
        for (int k = 0; k < 3; k++) {
            const double start = seconds();
            stop_on(gpu->propagate(engine, 70 + k * n_step, n_step));
            stop_on(gpu->energies(engine, energy));
            best = fmin(best, (seconds() - start) / n_step);
        }
        stop_on(gpu->report(engine, &report));
        printf(
            "%5d beads %5d replicas: %9.1f us/step %10.0f replica-steps/s %8.1f MiB, U = %.4g, %d rows, %s\n",
            system->n_bead, options.n_rep, 1e6 * best, options.n_rep / best,
            (double)report.device_bytes / 1048576, energy[0], report.n_knot, report.description);
    }
    fflush(stdout);
    free(energy);
    gpu->destroy(engine);
}

int main(int argc, char **argv) {
    struct frx_test_model model = frx_test_model_default();
    const struct frx_envelope cosine = {FRX_ENVELOPE_COSINE, 0, 15};
    struct frx_engine_options options = {
        .precision = FRX_PRECISION_SINGLE, .timestep = 0.004, .friction = 1, .seed = 1};
    int n_step = 200;
    model.n_bead = 269;
    model.n_hidden = model.n_filter = 128;
    model.n_interaction = 4;
    model.n_basis = 64;
    model.n_output_layer = 3;
    model.envelope = model.basis_envelope = cosine;
    model.r_cut = 15;
    model.priors = FRX_TEST_PRIORS_NONE;
    struct frx_system system = {0};
    for (int k = 1; k < argc; k++) {
        if (strcmp(argv[k], "single") == 0)
            options.precision = FRX_PRECISION_SINGLE;
        else if (strcmp(argv[k], "mixed") == 0)
            options.precision = FRX_PRECISION_MIXED;
        else if (k + 1 < argc && strcmp(argv[k], "beads") == 0)
            model.n_bead = atoi(argv[++k]);
        else if (k + 1 < argc && strcmp(argv[k], "hidden") == 0)
            model.n_hidden = atoi(argv[++k]);
        else if (k + 1 < argc && strcmp(argv[k], "interactions") == 0)
            model.n_interaction = atoi(argv[++k]);
        else if (k + 1 < argc && strcmp(argv[k], "steps") == 0)
            n_step = atoi(argv[++k]);
        else {
            if (!system.n_bead) make_system(&model, &system);
            options.n_rep = atoi(argv[k]);
            for (options.time_stages = 0; options.time_stages < 2; options.time_stages++)
                measure(&system, options, n_step);
        }
    }
    frx_system_clear(&system);
    return 0;
}
