/* Speed of the CUDA engine on a molecule of 1ENH's size (globule.h).
 *
 *   bench_cuda [single|mixed] [beads n] [hidden n] [interactions n] [steps n] replicas ..
 *
 * Prints one line per number of replicas: time per step, replica-steps/s, memory; then the time of each
 * stage, measured one by one. Not a test: nothing is checked except that no replica diverges. */
#include "cuda_engine.h"
#include "globule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
    struct frx_test_model model = frx_globule_model();
    struct frx_engine_options options = {
        .precision = FRX_PRECISION_SINGLE, .timestep = 0.004, .friction = 1, .seed = 1};
    int n_step = 200;
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
            if (!system.n_bead) frx_globule_make(&model, &system);
            options.n_rep = atoi(argv[k]);
            for (options.time_stages = 0; options.time_stages < 2; options.time_stages++)
                measure(&system, options, n_step);
        }
    }
    frx_system_clear(&system);
    return 0;
}
