/* The CUDA engine against the CPU engine in double precision, and what is its own: batches, streams,
 * transport on the device, memory. The physics that all engines share is checked by physics_check_engine.
 * Skipped without a GPU, except for what needs none. */
#include "check.h"
#include "cpu_engine.h"
#include "cuda_engine.h"
#include "make_system.h"
#include "physics.h"
#include "units.h"

#include <cuda_runtime_api.h>
#include <stdlib.h>
#include <string.h>

static const struct frx_engine_class *const gpu = &frx_cuda_engine, *const cpu = &frx_cpu_engine;

static int is_short; /* under a sanitizer: every kernel, but few steps, replicas and beads */

static struct frx_engine_options options_for(enum frx_precision precision, int n_rep) {
    return (struct frx_engine_options){
        .n_rep = n_rep, .precision = precision, .timestep = 0.002, .friction = 1, .seed = 7, .n_thread = 2};
}

static struct frx_engine *make(const struct frx_engine_class *class, const struct frx_system *system,
                               const struct frx_engine_options *options) {
    struct frx_engine *engine = NULL;
    CHECK_OK(class->create(system, options, &engine));
    if (!engine) exit(1);
    return engine;
}

/* ---- without a GPU ---- */

static void refusals(void) {
    struct frx_system system;
    const struct frx_test_model model = frx_test_model_default();
    frx_test_system_make(&model, &system);
    struct frx_engine_options options = options_for(FRX_PRECISION_DOUBLE, 4);
    size_t host, device, device_of_8;
    struct frx_engine *engine;
    CHECK_FAILS(gpu->plan(&system, &options, &host, &device), FRX_ERR_UNSUPPORTED, "double");
    CHECK_FAILS(gpu->create(&system, &options, &engine), FRX_ERR_UNSUPPORTED, "double");
    options.precision = FRX_PRECISION_SINGLE;
    options.n_rep = 0;
    CHECK_FAILS(gpu->plan(&system, &options, &host, &device), FRX_ERR_UNSUPPORTED, "0 replicas");
    options.n_rep = 4;
    CHECK_OK(gpu->plan(&system, &options, &host, &device));
    options.n_rep = 8;
    CHECK_OK(gpu->plan(&system, &options, &host, &device_of_8));
    CHECK(host > 0 && device > 0 && device_of_8 > device && device_of_8 < 2 * device, "%zu and %zu bytes",
          device, device_of_8);
    options.device = 999;
    CHECK_FAILS(gpu->create(&system, &options, &engine), FRX_ERR_DEVICE, "no");
    gpu->destroy(NULL);
    frx_system_clear(&system);
}

static int have_gpu(void) {
    int n = 0;
    return cudaGetDeviceCount(&n) == cudaSuccess && n > 0;
}

/* ---- against the reference ---- */

/* Positions of slot r: the structure, shaken by 0.1 A, rounded to float so that both engines see the same. */
static void shake(const struct frx_system *system, int r, double *x) {
    for (int k = 0; k < 3 * system->n_bead; k++)
        x[k] = (float)(system->structures[k] +
                       0.1 * frx_test_normal(99, (uint32_t)(r * 3 * system->n_bead + k)));
}

static void compare(const char *name, const struct frx_system *system, enum frx_precision precision,
                    int separate_kernels) {
    enum { N = 3 };
    const size_t size = 3 * (size_t)system->n_bead, n_part = (size_t)frx_system_n_part(system);
    double *x = calloc(6 * N * size + 2 * N * n_part, sizeof *x), *f_gpu = x + N * size,
           *f_cpu = f_gpu + N * size, *v = f_cpu + N * size, *w = v + N * size, *part_gpu = w + 2 * N * size,
           *part_cpu = part_gpu + N * n_part;
    double e_gpu[N], e_cpu[N];
    for (int r = 0; r < N; r++) shake(system, r, x + r * size);
    struct frx_engine_options options = options_for(precision, N);
    const struct frx_engine_options exact = options_for(FRX_PRECISION_DOUBLE, N);
    options.separate_kernels = separate_kernels;
    struct frx_engine *a = make(gpu, system, &options), *b = make(cpu, system, &exact);
    CHECK_OK(gpu->set_state(a, 0, N, &(struct frx_state_view){.positions = x}));
    CHECK_OK(cpu->set_state(b, 0, N, &(struct frx_state_view){.positions = x}));
    CHECK_OK(
        gpu->get_state(a, 0, N, &(struct frx_state_view){.forces = f_gpu, .energy = e_gpu, .positions = v}));
    CHECK_OK(cpu->get_state(b, 0, N, &(struct frx_state_view){.forces = f_cpu, .energy = e_cpu}));
    CHECK_OK(gpu->energy_parts(a, part_gpu));
    CHECK_OK(cpu->energy_parts(b, part_cpu));
    CHECK(memcmp(x, v, N * size * sizeof *x) == 0, "%s: positions come back as they went in", name);
    const double force_limit = precision == FRX_PRECISION_SINGLE ? 2e-5 : 5e-3;
    for (int r = 0; r < N; r++) {
        const double error = size > 3 || system->network == NULL
                                 ? physics_deviation(f_gpu + r * size, f_cpu + r * size, size)
                                 : 0; /* one bead alone feels nothing */
        CHECK(error <= force_limit, "%s: force of slot %d is off by %g", name, r, error);
        double sum = 0;
        for (size_t p = 0; p < n_part; p++) {
            const double expected = part_cpu[r * n_part + p];
            const double limit = precision == FRX_PRECISION_SINGLE
                                     ? 2e-6 * (fabs(expected) + system->n_bead)
                                     : 5e-4 * system->n_bead + 1e-5 * fabs(expected);
            CHECK(fabs(part_gpu[r * n_part + p] - expected) <= limit, "%s: %s of slot %d is %.9g, not %.9g",
                  name, frx_system_part_name(system, (int)p), r, part_gpu[r * n_part + p], expected);
            sum += part_gpu[r * n_part + p];
        }
        CHECK_NEAR(e_gpu[r], sum, 1e-12 * (fabs(sum) + 1));
        if (r == 0)
            printf("%-28s force error %.2e, energy %.7g, off by %.1e%s\n", name, error, e_cpu[r],
                   e_gpu[r] - e_cpu[r], separate_kernels ? ", separate kernels" : "");
    }
    free(x);
    gpu->destroy(a);
    cpu->destroy(b);
}

/* Models first .. end - 1. fused: small molecules in one kernel too, which needs the shared memory that every
 * card has. */
static void compare_models(enum frx_precision precision, int first, int end, int fused) {
    const struct frx_envelope lower = {FRX_ENVELOPE_COSINE, 3, 9},
                              shifted = {FRX_ENVELOPE_SHIFTED_COSINE, 5, 10};
    const struct frx_test_model base = frx_test_model_default();
    static const char *const names[] = {"default",        "mlcg 128 x 4 x 15 A", "torchmd",
                                        "wide, 50 beads", "shifted cosine",      "priors only",
                                        "network only",   "two beads",           "one bead",
                                        "mlcg, 10 beads", "torchmd, 10 beads",   "16 beads",
                                        "17 beads",       "linear output",       "8 interactions",
                                        "many filters",   "192 hidden"};
    for (int k = first; k < end; k++) {
        struct frx_test_model model = base;
        if (k == 1) {
            model.n_bead = 120, model.n_hidden = model.n_filter = 128, model.n_interaction = 4,
            model.n_basis = 64;
            model.r_cut = model.envelope.r_hi = model.basis_envelope.r_hi = 15, model.n_output_layer = 3;
        } else if (k == 2) {
            model.bias = 1, model.envelope = lower, model.basis_envelope = lower, model.r_cut = 9;
            model.n_hidden = model.n_filter = 128, model.n_interaction = 4, model.n_basis = 18,
            model.n_bead = 40;
        } else if (k == 3) {
            model.n_hidden = 256, model.n_filter = 160, model.n_interaction = 3, model.n_bead = 50;
        } else if (k == 4) {
            model.transform = FRX_BASIS_LINEAR, model.envelope = shifted, model.n_output_layer = 1;
        } else if (k == 5) {
            model.n_hidden = 0;
        } else if (k == 6) {
            model.priors = FRX_TEST_PRIORS_NONE;
        } else if (k == 7) {
            model.n_bead = 2;
            model.priors = FRX_TEST_PRIORS_NONE;
        } else if (k == 8) {
            model.n_bead = 1;
            model.priors = FRX_TEST_PRIORS_NONE;
        } else if (k == 9) {
            model.n_bead = 10, model.n_hidden = 256, model.n_filter = 128, model.n_interaction = 3;
            model.r_cut = model.envelope.r_hi = model.basis_envelope.r_hi = 5, model.n_output_layer = 3;
        } else if (k == 10) {
            model.bias = 1, model.envelope = lower, model.basis_envelope = lower, model.r_cut = 9;
            model.n_bead = 10, model.n_hidden = model.n_filter = 128, model.n_interaction = 4;
        } else if (k == 13) { /* everybody near everybody */
            model.bias = 1, model.n_bead = 16, model.n_output_layer = 1;
            model.r_cut = model.envelope.r_hi = model.basis_envelope.r_hi = 40;
        } else if (k == 14) { /* as many layers as one kernel takes */
            model.n_bead = 7, model.n_interaction = 8, model.n_output_layer = 5;
        } else if (k == 15) {
            model.n_bead = 9, model.n_hidden = 64, model.n_filter = 256, model.n_output_layer = 3;
        } else if (k == 16) {
            model.n_bead = 8, model.n_hidden = 192, model.n_interaction = 3;
        } else if (k >= 11) { /* the largest that is small, and the smallest that is not */
            model.n_bead = k == 11 ? 16 : 17, model.n_hidden = 72, model.n_filter = 130,
            model.n_interaction = 1;
        }
        if (is_short && model.n_bead > 24) model.n_bead = 24;
        struct frx_system system;
        frx_test_system_make(&model, &system);
        if (k == 13) system.network->scale *= 0.25; /* energies as large as those of real models */
        for (int separate = !fused; separate < 1 + (!fused || model.n_bead <= 16); separate++)
            compare(names[k], &system, precision, separate);
        frx_system_clear(&system);
    }
}

static void scale_dense(struct frx_dense *dense, double factor) {
    for (int k = 0; k < dense->n_out * dense->n_in; k++) dense->weight[k] *= factor;
    for (int k = 0; k < dense->n_out && dense->bias; k++) dense->bias[k] *= factor;
}

/* The default model with features `h` and messages `m` times as large, which is the same model: one kernel
 * makes halves of both. */
static void compare_scaled(enum frx_precision precision, double h, double m) {
    const struct frx_test_model model = frx_test_model_default();
    struct frx_system system;
    char name[64];
    frx_test_system_make(&model, &system);
    for (int l = 0; l < system.network->n_interaction; l++) {
        struct frx_interaction *interaction = &system.network->interaction[l];
        scale_dense(&interaction->lin1, h);
        scale_dense(&interaction->filter.layer[interaction->filter.n_layer - 1], m / h);
        for (int k = 0; k < model.n_hidden * model.n_filter; k++) interaction->lin2.weight[k] /= m;
    }
    snprintf(name, sizeof name, "h x %g, messages x %g", h, m);
    compare(name, &system, precision, 0);
    frx_system_clear(&system);
}

static void references(enum frx_precision precision) {
    compare_models(precision, 0, 17, 1);
    compare_scaled(precision, 1e5, 1e5);
    compare_scaled(precision, 1, 1e-5);
}

/* ---- repeatability ---- */

struct whole {
    double *positions, *velocities, *forces, energy;
};

static struct whole look(struct frx_engine *engine, int slot, int n_bead) {
    const size_t size = 3 * (size_t)n_bead;
    struct whole whole = {.positions = calloc(3 * size, sizeof(double))};
    whole.velocities = whole.positions + size;
    whole.forces = whole.velocities + size;
    CHECK_OK(gpu->get_state(
        engine, slot, 1,
        &(struct frx_state_view){whole.positions, whole.velocities, whole.forces, &whole.energy, NULL}));
    return whole;
}

static int same(struct whole a, struct whole b, int n_bead) {
    return memcmp(a.positions, b.positions, 9 * (size_t)n_bead * sizeof(double)) == 0 && a.energy == b.energy;
}

/* One replica among n others, in slot `slot`; n_step steps from the shaken structure, n_at_once at a time. */
static struct whole follow(const struct frx_system *system, enum frx_precision precision, int n_rep, int slot,
                           int timed, int n_step, int n_at_once) {
    const size_t size = 3 * (size_t)system->n_bead;
    struct frx_engine_options options = options_for(precision, n_rep);
    options.time_stages = timed;
    struct frx_engine *engine = make(gpu, system, &options);
    double *x = calloc((size_t)n_rep * size, sizeof *x);
    uint32_t *identity = calloc((size_t)n_rep, sizeof *identity);
    for (int r = 0; r < n_rep; r++) {
        identity[r] = r == slot ? 5000 : (uint32_t)r;
        shake(system, (int)identity[r], x + (size_t)r * size);
    }
    CHECK_OK(
        gpu->set_state(engine, 0, n_rep, &(struct frx_state_view){.positions = x, .identity = identity}));
    CHECK_OK(gpu->draw_velocities(engine));
    for (int k = 0; k < n_step; k += n_at_once) CHECK_OK(gpu->propagate(engine, 1000 + k, n_at_once));
    const struct whole whole = look(engine, slot, system->n_bead);
    if (timed) {
        struct frx_engine_report report;
        CHECK_OK(gpu->report(engine, &report));
        double seconds = 0;
        for (int k = 0; k < report.n_stage; k++) seconds += report.stage[k].seconds;
        CHECK(report.n_stage == 7 && seconds > 0, "%d stages", report.n_stage);
    }
    free(x);
    free(identity);
    gpu->destroy(engine);
    return whole;
}

/* A replica alone and in company. Under a sanitizer two steps, and companies on both sides of where the
 * engine takes kernels for many replicas (tables in shared memory, larger blocks of dense layers). */
static void repeatability_of(enum frx_precision precision, const struct frx_test_model *model) {
    static const struct company {
        int n_rep, slot, timed, n_at_once;
    } all[] = {{1, 0, 0, 40},   {5, 2, 1, 40},   {2, 1, 0, 40},     {7, 3, 0, 40},
               {64, 63, 0, 40}, {150, 17, 0, 8}, {300, 299, 0, 40}, {3, 1, 0, 1}},
      few[] = {{5, 2, 1, 2}, {420, 417, 0, 2}};
    const struct company *other = is_short ? few : all;
    struct frx_system system;
    frx_test_system_make(model, &system);
    const int n_other = is_short ? (model->n_bead > 16 ? 2 : 1) : (int)(sizeof all / sizeof all[0]);
    const int n_step = is_short ? 2 : 40;
    const struct whole alone = follow(&system, precision, 1, 0, 0, n_step, n_step);
    for (int k = 0; k < n_other; k++) {
        const struct whole company = follow(&system, precision, other[k].n_rep, other[k].slot, other[k].timed,
                                            n_step, other[k].n_at_once);
        CHECK(same(alone, company, model->n_bead), "%d beads, slot %d of %d%s, %d steps at a time",
              model->n_bead, other[k].slot, other[k].n_rep, other[k].timed ? ", timed" : "",
              other[k].n_at_once);
        free(company.positions);
    }
    printf("%d beads repeat\n", model->n_bead);
    free(alone.positions);
    frx_system_clear(&system);
}

static void repeatability(enum frx_precision precision) {
    struct frx_test_model model = frx_test_model_default();
    model.n_hidden = model.n_filter = is_short ? 32 : 128, model.n_interaction = is_short ? 2 : 3;
    model.n_bead = is_short ? 20 : 60;
    repeatability_of(precision, &model);
    model.n_bead = 10;
    repeatability_of(precision, &model);
}

/* Configurations change places through the device buffers, temperatures stay, and the run goes on as it would
 * have. */
static void transport(enum frx_precision precision) {
    enum { N = 3 };
    struct frx_system system;
    const struct frx_test_model model = frx_test_model_default();
    frx_test_system_make(&model, &system);
    const struct frx_engine_options options = options_for(precision, N);
    const int n_step = is_short ? 3 : 40, n_more = is_short ? 2 : 33;
    struct frx_engine *engine = make(gpu, &system, &options);
    CHECK_OK(gpu->draw_velocities(engine));
    CHECK_OK(gpu->propagate(engine, 0, n_step));
    struct whole before[N];
    for (int r = 0; r < N; r++) before[r] = look(engine, r, system.n_bead);
    CHECK(!same(before[0], before[1], system.n_bead), "replicas differ");
    size_t bytes;
    void *send, *receive, *stream;
    CHECK_OK(gpu->transport(engine, &bytes, &send, &receive, &stream));
    CHECK_OK(gpu->pack(engine, N, (const int[N]){0, 1, 2}));
    CHECK(cudaMemcpyAsync(receive, send, N * bytes, cudaMemcpyDeviceToDevice, stream) == cudaSuccess, "copy");
    CHECK_OK(gpu->unpack(engine, N, (const int[N]){2, 0, 1}));
    for (int r = 0; r < N; r++) {
        uint32_t identity;
        const struct whole now = look(engine, r, system.n_bead);
        CHECK_OK(gpu->get_state(engine, r, 1, &(struct frx_state_view){.identity = &identity}));
        CHECK(same(now, before[(r + 1) % N], system.n_bead) && identity == (uint32_t)(r + 1) % N,
              "slot %d has another configuration", r);
        free(now.positions);
    }
    /* at one temperature only labels have moved: each replica goes on as in an engine that never exchanged */
    struct frx_engine *still = make(gpu, &system, &options);
    CHECK_OK(gpu->draw_velocities(still));
    CHECK_OK(gpu->propagate(still, 0, n_step));
    CHECK_OK(gpu->propagate(still, n_step, n_more));
    CHECK_OK(gpu->propagate(engine, n_step, n_more));
    for (int r = 0; r < N; r++) {
        const struct whole moved = look(engine, r, system.n_bead),
                           stayed = look(still, (r + 1) % N, system.n_bead);
        CHECK(same(moved, stayed, system.n_bead), "slot %d goes on", r);
        free(moved.positions);
        free(stayed.positions);
        free(before[r].positions);
    }
    gpu->destroy(engine);
    gpu->destroy(still);
    frx_system_clear(&system);
}

/* Blocks of steps in one graph, without a network, and what a run asks for beside them: new temperatures,
 * snapshots, the centre. */
static void output(enum frx_precision precision) {
    enum { N = 3 };
    struct frx_system system;
    struct frx_test_model model = frx_test_model_default();
    model.n_hidden = 0;
    frx_test_system_make(&model, &system);
    const size_t size = 3 * (size_t)system.n_bead;
    const struct frx_engine_options options = options_for(precision, N);
    struct frx_engine *engine = make(gpu, &system, &options);
    CHECK_OK(gpu->draw_velocities(engine));
    CHECK_OK(gpu->propagate(engine, 0, 40));
    const struct whole before = look(engine, 1, system.n_bead);
    const double beta[N] = {FRX_BETA_OF_KELVIN(300), FRX_BETA_OF_KELVIN(1200), FRX_BETA_OF_KELVIN(400)};
    CHECK_OK(gpu->set_temperatures(engine, beta, (const double[N]){1, 2, 0.5}));
    CHECK_OK(gpu->snapshot(engine));
    CHECK_OK(gpu->recentre(engine));
    const struct whole after = look(engine, 1, system.n_bead);
    float *shot = calloc(N * size, sizeof *shot);
    double energy[N], kinetic[N], expected = 0, centre[3] = {0};
    uint32_t identity[N];
    CHECK_OK(gpu->snapshot_wait(engine, shot, energy, kinetic, identity));
    CHECK(energy[1] == before.energy && identity[1] == 1, "energy and identity of the snapshot");
    for (size_t k = 0; k < size; k++) {
        CHECK(shot[size + k] == (float)before.positions[k], "coordinate %zu of the snapshot", k);
        CHECK(after.velocities[k] == 2 * before.velocities[k], "velocity %zu is scaled", k);
        expected += 0.5 * system.beads.mass[k / 3] * after.velocities[k] * after.velocities[k];
        centre[k % 3] += after.positions[k] / system.n_bead;
    }
    CHECK_NEAR(kinetic[1], expected, 1e-6 * expected);
    for (int d = 0; d < 3; d++) CHECK_NEAR(centre[d], 0, 1e-5);
    puts("temperatures, snapshots and the centre are as they should be");
    free(shot);
    free(before.positions);
    free(after.positions);
    gpu->destroy(engine);
    frx_system_clear(&system);
}

/* Cards with less shared memory take narrower slices, smaller blocks, or the table from global memory. */
static void small_cards(enum frx_precision precision) {
    /* architectures 120 and 80; the last leaves no room for a table in single precision */
    static const char *const bytes[] = {"101376", "166912", "49152"};
    for (int k = 0; k < (precision == FRX_PRECISION_SINGLE ? 3 : 2); k++) {
        printf("shared memory as if there were %s bytes\n", bytes[k]);
        CHECK(setenv("FRX_CUDA_SHARED_LIMIT", bytes[k], 1) == 0, "setenv");
        compare_models(precision, 0, 4, k < 2);
        if (k > 0) continue;
        compare_models(precision, 9, 17, 1); /* h, g and constants of some outside */
        struct frx_test_model model = frx_test_model_default();
        model.n_bead = 10, model.n_hidden = 256, model.n_filter = 128, model.n_interaction = 3;
        repeatability_of(precision, &model);
    }
    CHECK(unsetenv("FRX_CUDA_SHARED_LIMIT") == 0, "unsetenv");
}

/* The message says how many replicas fit: so many do, and no more. */
static void too_many(enum frx_precision precision) {
    struct frx_test_model model = frx_test_model_default();
    model.n_bead = 400, model.n_hidden = model.n_filter = 256;
    model.priors = FRX_TEST_PRIORS_NONE;
    struct frx_system system;
    frx_test_system_make(&model, &system);
    struct frx_engine_options options = options_for(precision, 65535);
    struct frx_engine *engine;
    CHECK_FAILS(gpu->create(&system, &options, &engine), FRX_ERR_MEMORY, "would fit");
    printf("%s\n", frx_error_message());
    double needed = 0, available = 0;
    int n_fit = 0;
    const char *numbers = strstr(frx_error_message(), "need ");
    CHECK(numbers && sscanf(numbers, "need %lf MiB on GPU %*d, which has %lf MiB free: %d", &needed,
                            &available, &n_fit) == 3,
          "numbers in the message");
    CHECK(needed > available && n_fit > 0, "%g of %g MiB, %d", needed, available, n_fit);
    size_t host, fits, too_large;
    options.n_rep = n_fit;
    CHECK_OK(gpu->plan(&system, &options, &host, &fits));
    options.n_rep = n_fit + n_fit / 500 + 2; /* what is kept for the driver, and alignment */
    CHECK_OK(gpu->plan(&system, &options, &host, &too_large));
    CHECK((double)fits / 1048576 < available && (double)too_large / 1048576 > available - 64 - 1,
          "%d replicas need %zu bytes, %d need %zu", n_fit, fits, options.n_rep, too_large);
    frx_system_clear(&system);
}

/* 64 replicas of 269 beads, 4 interactions, 128 channels, in mixed precision: below 1 GiB. */
static void memory(void) {
    struct frx_test_model model = frx_test_model_default();
    model.n_bead = 269, model.n_hidden = model.n_filter = 128, model.n_interaction = 4;
    struct frx_system system;
    frx_test_system_make(&model, &system);
    const struct frx_engine_options options = options_for(FRX_PRECISION_MIXED, 64);
    size_t host, device;
    CHECK_OK(gpu->plan(&system, &options, &host, &device));
    printf("64 replicas of 269 beads in mixed precision: %.0f MiB\n", (double)device / 1048576);
    CHECK(device < (size_t)1 << 30, "%zu bytes", device);
    frx_system_clear(&system);
}

static const struct part {
    const char *name;
    void (*run)(enum frx_precision precision);
    int in_short;
} parts[] = {{"references", references, 1}, {"repeatability", repeatability, 1}, {"transport", transport, 1},
             {"output", output, 1},         {"small_cards", small_cards, 0},     {"too_many", too_many, 0}};
enum { N_PART = sizeof parts / sizeof parts[0] };

/* test_cuda_engine [short] [single|mixed] [PART..]; without a part: all, under `short` those that are in it.
 */
int main(int argc, char **argv) {
    int precisions = 0, wanted = 0;
    for (int k = 1; k < argc; k++) {
        int known = 1;
        if (strcmp(argv[k], "short") == 0)
            is_short = 1;
        else if (strcmp(argv[k], "single") == 0)
            precisions |= 1;
        else if (strcmp(argv[k], "mixed") == 0)
            precisions |= 2;
        else
            known = 0;
        for (int p = 0; p < N_PART; p++) {
            if (strcmp(argv[k], parts[p].name) != 0) continue;
            wanted |= 1 << p;
            known = 1;
        }
        if (known) continue;
        fprintf(stderr, "no such part: %s\n", argv[k]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    refusals();
    memory();
    if (!have_gpu()) {
        puts("no GPU: what needs one is skipped");
        return frx_check_result() ? 1 : FRX_TEST_SKIP;
    }
    for (int k = 0; k < 2; k++) {
        if (precisions && !(precisions & 1 << k)) continue;
        puts(k ? "mixed precision" : "single precision");
        for (int p = 0; p < N_PART; p++)
            if (wanted ? wanted & 1 << p : parts[p].in_short || !is_short)
                parts[p].run(k ? FRX_PRECISION_MIXED : FRX_PRECISION_SINGLE);
    }
    return frx_check_result();
}
