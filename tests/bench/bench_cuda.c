/* Speed of the CUDA engine on molecules like 1ENH (globule.h), and how far that is from what the GPU can do.
 *
 *   bench_cuda [single|mixed] [separate-kernels] [beads n] [hidden n] [interactions n] [steps n] replicas ..
 *   bench_cuda table      10, 50, 269 and 1,000 beads, 1 to 4,096 replicas, both precisions
 *
 * Prints one line per number of replicas: time per step, replica-steps/s, memory; except in a table also the
 * time of each stage, measured one by one, and the least time that its traffic and its products take at the
 * ceilings of ceilings.h, measured in the same run. Not a test: nothing is checked except that no replica
 * diverges. */
#include "ceilings.h"
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

/* ---- bounds ---- */

/* What a stage must move and multiply per step, of all replicas. */
struct work {
    double memory; /* bytes, device memory or cache */
    double shared; /* bytes read and written in shared memory */
    double tensor; /* flop */
};

static double directed_edges(const struct frx_system *system) {
    double n = 0;
    for (int i = 0; i < system->n_bead; i++)
        for (int j = 0; j < i; j++) {
            double square = 0;
            for (int d = 0; d < 3; d++)
                square += pow(system->structures[3 * i + d] - system->structures[3 * j + d], 2);
            n += square < system->network->r_cut * system->network->r_cut ? 2 : 0;
        }
    return n;
}

/* Of the stages by their names in the report. Numbers are float (4 bytes) in single and half (2) in mixed
 * precision where the engine stores them so; edges of the mixed precision come in groups of 16. */
static struct work work_of(const char *stage, const struct frx_system *system,
                           const struct frx_engine_options *options, int n_knot) {
    const struct frx_network *net = system->network;
    const int mixed = options->precision == FRX_PRECISION_MIXED;
    const double rows = (double)options->n_rep * system->n_bead,
                 edges = options->n_rep * directed_edges(system);
    const double F = net->n_filter, H = net->n_hidden, L = net->n_interaction, real = mixed ? 2 : 4;
    if (strcmp(stage, "messages") == 0) {
        if (!mixed) { /* per edge: four rows of the table; the neighbour's h, on the way back also its g */
            const double shared = edges * L * F * 4 * ((4 + 1) + (4 + 2));
            return (struct work){rows * L * F * 4 * (2 + 4), shared, 0};
        }
        const double n_tile = (n_knot - 1) / 13.0, passes = 2 * L - 1 + L,
                     padded = edges + rows * 7.5 * n_tile;
        /* a group's features and spline weights (zeroed, filled, read); the table once per row */
        const double shared = passes * (padded * (2 * F + 64 + 8) + rows * n_tile * 17 * F * 2);
        return (struct work){rows * passes * F * 6, shared, passes * padded * 2 * 16 * F};
    }
    if (strcmp(stage, "dense layers") == 0) {
        double width = H, output = 0;
        for (int k = 0; k < net->output.n_layer - 1; k++) {
            output += width * net->output.layer[k].n_out;
            width = net->output.layer[k].n_out;
        }
        const double way = L * (F * H + H * H) + (L - 1) * H * F + output; /* products of one row one way */
        const double memory = rows * L * (4 * F + 4 * 2 * H + real * (H + F)) * 2;
        return (struct work){memory, 0, 2 * rows * way * (3 + (mixed ? 1 : 3))};
    }
    if (strcmp(stage, "neighbours") == 0) return (struct work){rows * 12 + edges * (mixed ? 6 : 2), 0, 0};
    if (strcmp(stage, "priors") == 0) { /* repulsion partners: bead and sigma, of both sides */
        double pairs = 0;
        for (int p = 0; p < system->n_prior; p++)
            pairs += system->prior[p].form == FRX_FORM_REPULSION ? system->prior[p].n_term : 0;
        return (struct work){options->n_rep * pairs * 2 * 8 + rows * 24, 0, 0};
    }
    if (strcmp(stage, "integration") == 0)
        return (struct work){rows * 12 * 7, 0, 0}; /* x v f twice, f of parts */
    return (struct work){0};
}

static const char *const limiter[] = {"memory", "shared memory", "tensor cores"};

static void print_stage(const char *name, double time, const struct work *work,
                        const struct frx_ceilings *top) {
    const int cached = strcmp(name, "priors") == 0; /* the partners of all replicas are the same */
    const double least[3] = {work->memory / (cached ? top->cache : top->copy), work->shared / top->shared,
                             work->tensor / top->tensor};
    int worst = 0;
    for (int k = 1; k < 3; k++)
        if (least[k] > least[worst]) worst = k;
    printf("    %-14s %9.1f us, at least %8.1f by %-13s (%.3g MB, %.3g MB shared, %.3g GFLOP)\n", name,
           1e6 * time, 1e6 * least[worst], limiter[worst], 1e-6 * work->memory, 1e-6 * work->shared,
           1e-9 * work->tensor);
}

/* ---- measuring ---- */

static void stages(const struct frx_system *system, struct frx_engine_options options,
                   const struct frx_ceilings *top) {
    const struct frx_engine_class *gpu = &frx_cuda_engine;
    enum { few = 20 };
    struct frx_engine *engine;
    struct frx_engine_report warm, report;
    options.time_stages = 1;
    stop_on(gpu->create(system, &options, &engine));
    stop_on(gpu->draw_velocities(engine));
    stop_on(gpu->propagate(engine, 0, 3));
    stop_on(gpu->report(engine, &warm));
    stop_on(gpu->propagate(engine, 3, few));
    stop_on(gpu->report(engine, &report));
    for (int k = 0; k < report.n_stage; k++) {
        if (report.stage[k].seconds == 0) continue; /* of the other way of making steps */
        const struct work work = work_of(report.stage[k].name, system, &options, report.n_knot);
        print_stage(report.stage[k].name, (report.stage[k].seconds - warm.stage[k].seconds) / few, &work,
                    top);
    }
    gpu->destroy(engine);
}

/* n_step 0: as many as take a fifth of a second; three where a step takes more than 20 ms. */
static void speed(const struct frx_system *system, const struct frx_engine_options *options, int n_step) {
    const struct frx_engine_class *gpu = &frx_cuda_engine;
    struct frx_engine *engine;
    struct frx_engine_report report;
    const enum frx_status created = gpu->create(system, options, &engine);
    const char *name = options->precision == FRX_PRECISION_MIXED ? "mixed" : "single";
    if (created == FRX_ERR_MEMORY || created == FRX_ERR_UNSUPPORTED) {
        printf("%-6s %5d beads %5d replicas: %s\n", name, system->n_bead, options->n_rep,
               frx_error_message());
        return;
    }
    stop_on(created);
    double *energy = malloc((size_t)options->n_rep * sizeof *energy), best = INFINITY;
    stop_on(gpu->draw_velocities(engine));
    stop_on(gpu->propagate(engine, 0, 2));
    stop_on(gpu->energies(engine, energy));
    int64_t step = 2;
    for (int k = 0; k < 3; k++) {
        const int n = n_step ? n_step : k == 0 ? 3 : k == 1 ? 33 : (int)fmax(33, fmin(2000, 0.2 / best));
        const double start = seconds();
        stop_on(gpu->propagate(engine, step, n));
        stop_on(gpu->energies(engine, energy));
        best = fmin(best, (seconds() - start) / n);
        step += n;
        if (!n_step && best > 0.02) break; /* so much work that the start of a block is nothing */
    }
    stop_on(gpu->report(engine, &report));
    printf(
        "%-6s %5d beads %5d replicas: %10.1f us/step %10.0f replica-steps/s %9.1f MiB, U = %.4g, %d knots\n",
        name, system->n_bead, options->n_rep, 1e6 * best, options->n_rep / best,
        (double)report.device_bytes / 1048576, energy[0], report.n_knot);
    free(energy);
    gpu->destroy(engine);
}

static void table(struct frx_test_model model, struct frx_engine_options options) {
    static const int n_bead[] = {10, 50, 269, 1000}, n_rep[] = {1, 8, 64, 512, 4096};
    for (size_t b = 0; b < sizeof n_bead / sizeof *n_bead; b++) {
        struct frx_system system;
        model.n_bead = n_bead[b];
        frx_globule_make(&model, &system);
        for (size_t r = 0; r < sizeof n_rep / sizeof *n_rep; r++)
            for (int k = 0; k < 2; k++) {
                options.n_rep = n_rep[r];
                options.precision = k ? FRX_PRECISION_MIXED : FRX_PRECISION_SINGLE;
                speed(&system, &options, 0);
            }
        frx_system_clear(&system);
    }
}

int main(int argc, char **argv) {
    struct frx_test_model model = frx_globule_model();
    struct frx_engine_options options = {
        .precision = FRX_PRECISION_SINGLE, .timestep = 0.004, .friction = 1, .seed = 1};
    int n_step = 200;
    struct frx_system system = {0};
    setvbuf(stdout, NULL, _IOLBF, 0); /* a line when it is known, into files too */
    stop_on(frx_device_select(0));
    const struct frx_ceilings top = frx_ceilings_measure();
    printf("ceilings: copy %.2f TB/s, L2 %.2f TB/s, shared memory %.1f TB/s, tensor cores %.0f TFLOP/s\n",
           1e-12 * top.copy, 1e-12 * top.cache, 1e-12 * top.shared, 1e-12 * top.tensor);
    for (int k = 1; k < argc; k++) {
        if (strcmp(argv[k], "table") == 0)
            table(model, options);
        else if (strcmp(argv[k], "single") == 0)
            options.precision = FRX_PRECISION_SINGLE;
        else if (strcmp(argv[k], "separate-kernels") == 0)
            options.separate_kernels = 1;
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
            speed(&system, &options, n_step);
            stages(&system, options, &top);
        }
    }
    frx_system_clear(&system);
    return 0;
}
