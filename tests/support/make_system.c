#include "make_system.h"

#include "rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_TYPE 5

struct source { /* of random numbers */
    uint64_t seed;
    uint32_t n_drawn;
};

double frx_test_normal(uint64_t seed, uint32_t index) {
    float z[4];
    frx_rng_normal4(frx_rng_draw(seed, FRX_RNG_TEST, 0, index, 0), z);
    return z[0];
}

static double draw(struct source *source) {
    return frx_test_normal(source->seed, source->n_drawn++);
}

static void *allocate(size_t n, size_t size) {
    void *memory = calloc(n ? n : 1, size);
    if (!memory) {
        fprintf(stderr, "no memory for a test system\n");
        exit(1);
    }
    return memory;
}

static double *random_array(struct source *source, size_t n, double sigma) {
    double *x = allocate(n, sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = sigma * draw(source);
    return x;
}

static struct frx_dense random_dense(struct source *source, int n_in, int n_out, int bias) {
    struct frx_dense dense = {.n_out = n_out, .n_in = n_in};
    dense.weight = random_array(source, (size_t)n_in * n_out, 1 / sqrt(n_in));
    if (bias) dense.bias = random_array(source, (size_t)n_out, 0.3);
    return dense;
}

static struct frx_mlp random_mlp(struct source *source, int n_layer, int n_in, int n_wide, int n_out,
                                 int last_bias) {
    struct frx_mlp mlp = {.n_layer = n_layer, .layer = allocate((size_t)n_layer, sizeof(struct frx_dense))};
    for (int k = 0; k < n_layer; k++) {
        const int last = k == n_layer - 1;
        mlp.layer[k] = random_dense(source, n_in, last ? n_out : n_wide, !last || last_bias);
        n_in = n_wide;
    }
    return mlp;
}

/* Centres and widths as mlcg has them: linear in r, or linear in exp(alpha (r_shift - r)). */
static struct frx_basis make_basis(const struct frx_test_model *model) {
    struct frx_basis basis = {
        .transform = model->transform, .n_basis = model->n_basis, .envelope = model->basis_envelope};
    const size_t n = (size_t)model->n_basis;
    basis.center = allocate(n, sizeof(double));
    basis.coefficient = allocate(n, sizeof(double));
    const double lo = model->basis_envelope.kind == FRX_ENVELOPE_COSINE ? model->basis_envelope.r_lo : 0;
    const double hi = model->r_cut;
    double from = lo, to = hi;
    if (model->transform == FRX_BASIS_EXPONENTIAL) {
        basis.alpha = 5 / (hi - lo);
        basis.r_shift = lo;
        from = exp(-basis.alpha * (hi - lo));
        to = 1;
    }
    for (size_t k = 0; k < n; k++) {
        const double spacing = (to - from) / (n > 1 ? (double)n - 1 : 1);
        basis.center[k] = from + (double)k * spacing;
        basis.coefficient[k] = 0.5 / (spacing * spacing);
    }
    snprintf(basis.name, sizeof basis.name, "test");
    return basis;
}

static struct frx_network *make_network(const struct frx_test_model *model, struct source *source) {
    struct frx_network *net = allocate(1, sizeof *net);
    const int h = model->n_hidden, f = model->n_filter;
    net->r_cut = model->r_cut;
    net->scale = model->bias ? 1.7 : 1;
    net->shift = model->bias ? -0.6 : 0;
    net->n_type = N_TYPE;
    net->n_hidden = h;
    net->n_filter = f;
    net->n_interaction = model->n_interaction;
    net->embedding = random_array(source, (size_t)N_TYPE * h, 1);
    net->basis = make_basis(model);
    net->envelope = model->envelope;
    net->interaction = allocate((size_t)model->n_interaction, sizeof *net->interaction);
    for (int l = 0; l < model->n_interaction; l++) {
        struct frx_interaction *interaction = &net->interaction[l];
        interaction->filter = random_mlp(source, model->n_filter_layer, model->n_basis, f, f, model->bias);
        interaction->lin1 = random_dense(source, h, f, 0);
        interaction->lin2 = random_dense(source, f, h, 1);
        interaction->lin = random_dense(source, h, h, 1);
    }
    net->output = random_mlp(source, model->n_output_layer, h, (h + 1) / 2, 1, model->bias);
    return net;
}

static void add_prior(struct frx_system *system, const char *name, enum frx_feature feature,
                      enum frx_form form, int skip, int n_param, const double *params) {
    struct frx_prior *prior = &system->prior[system->n_prior++];
    const int order = frx_feature_order(feature);
    *prior = (struct frx_prior){.feature = feature, .form = form, .order = order, .n_param = n_param};
    snprintf(prior->name, sizeof prior->name, "%s", name);
    /* atoms i, i + skip, .. along the chain; for skip 0 all pairs at least 2 apart */
    const int n = system->n_bead;
    const size_t most = skip ? (size_t)n : (size_t)n * n;
    prior->atoms = allocate(most * order, sizeof(int32_t));
    prior->params = allocate(most * n_param, sizeof(double));
    for (int i = 0; i < n; i++)
        for (int j = skip ? i + 1 : i + 2; j < (skip ? i + 2 : n); j++) {
            if (skip && i + (order - 1) * skip >= n) continue;
            int32_t *atoms = prior->atoms + (size_t)prior->n_term * order;
            for (int a = 0; a < order; a++) atoms[a] = skip ? i + a * skip : a ? j : i;
            for (int k = 0; k < n_param; k++) /* vary the parameters from term to term */
                prior->params[(size_t)prior->n_term * n_param + k] =
                    params[k] * (1 + 0.03 * (prior->n_term % 7));
            prior->n_term++;
        }
}

static void add_all_priors(struct frx_system *system) {
    system->prior = allocate(12, sizeof *system->prior);
    add_prior(system, "bonds", FRX_FEATURE_DISTANCE, FRX_FORM_HARMONIC, 1, 2, (const double[]){20, 3.6});
    add_prior(system, "quartic", FRX_FEATURE_DISTANCE, FRX_FORM_POLYNOMIAL, 2, 5,
              (const double[]){1, -0.4, 0.05, -0.003, 0.0002});
    add_prior(system, "contacts", FRX_FEATURE_DISTANCE, FRX_FORM_GAUSSIAN, 3, 3,
              (const double[]){1.5, 6, 0.9});
    add_prior(system, "angles", FRX_FEATURE_ANGLE_COS, FRX_FORM_HARMONIC, 1, 2, (const double[]){4, -0.3});
    add_prior(system, "restricted", FRX_FEATURE_ANGLE_COS, FRX_FORM_RESTRICTED, 1, 5,
              (const double[]){0.05, 0.2, 1, 0.5, -0.3});
    add_prior(system, "raw_angles", FRX_FEATURE_ANGLE, FRX_FORM_HARMONIC, 1, 2, (const double[]){3, 1.9});
    add_prior(system, "angle_wells", FRX_FEATURE_ANGLE, FRX_FORM_GAUSSIAN, 1, 3,
              (const double[]){1, 1.6, 0.3});
    add_prior(system, "dihedrals", FRX_FEATURE_TORSION, FRX_FORM_FOURIER, 1, 7,
              (const double[]){0.3, 0.7, -0.2, 0.4, 0.5, -0.1, 0.25});
    add_prior(system, "impropers", FRX_FEATURE_TORSION_SHIFTED, FRX_FORM_POLYNOMIAL, 2, 4,
              (const double[]){0.1, 0.3, 0.2, 0.05});
    add_prior(system, "repulsion", FRX_FEATURE_DISTANCE, FRX_FORM_REPULSION, 0, 1, (const double[]){3});
}

/* A polynomial in a torsion jumps where the torsion does, and a plain angle can open to a line, where the
 * torsions of its beads are undefined; these do neither. */
static void add_smooth_priors(struct frx_system *system) {
    system->prior = allocate(4, sizeof *system->prior);
    add_prior(system, "bonds", FRX_FEATURE_DISTANCE, FRX_FORM_HARMONIC, 1, 2, (const double[]){20, 3.6});
    add_prior(system, "angles", FRX_FEATURE_ANGLE_COS, FRX_FORM_RESTRICTED, 1, 4,
              (const double[]){0.5, 0, 1, 1});
    add_prior(system, "dihedrals", FRX_FEATURE_TORSION, FRX_FORM_FOURIER, 1, 5,
              (const double[]){0.3, 0.7, -0.2, 0.4, 0.5});
    add_prior(system, "repulsion", FRX_FEATURE_DISTANCE, FRX_FORM_REPULSION, 0, 1, (const double[]){3});
}

/* A walk with 3.8 A steps and no two beads closer than 3.2 A; it turns back to itself so that it is compact.
 */
static void make_chain(struct source *source, int n, double *x) {
    for (int i = 0; i < n; i++) {
        for (int attempt = 0;; attempt++) {
            double step[3], norm = 0, centre[3] = {0, 0, 0};
            for (int j = 0; j < i; j++)
                for (int k = 0; k < 3; k++) centre[k] += x[3 * j + k] / i;
            for (int k = 0; k < 3; k++) {
                step[k] = draw(source);
                if (i > 0 && attempt < 100) step[k] -= 0.1 * (x[3 * i - 3 + k] - centre[k]);
                norm += step[k] * step[k];
            }
            for (int k = 0; k < 3; k++) x[3 * i + k] = i ? x[3 * i - 3 + k] + 3.8 * step[k] / sqrt(norm) : 0;
            int clash = 0;
            for (int j = 0; j < i - 1; j++) {
                double r2 = 0;
                for (int k = 0; k < 3; k++) r2 += pow(x[3 * i + k] - x[3 * j + k], 2);
                clash |= r2 < 3.2 * 3.2;
            }
            if (!clash) break;
            if (attempt > 10000) i = i > 10 ? i - 10 : 1, attempt = 0; /* dead end: go back */
        }
    }
}

struct frx_test_model frx_test_model_default(void) {
    const struct frx_envelope cosine = {FRX_ENVELOPE_COSINE, 0, 10};
    return (struct frx_test_model){.seed = 1,
                                   .n_bead = 14,
                                   .n_hidden = 24,
                                   .n_filter = 20,
                                   .n_interaction = 2,
                                   .n_basis = 16,
                                   .n_filter_layer = 2,
                                   .n_output_layer = 2,
                                   .transform = FRX_BASIS_EXPONENTIAL,
                                   .basis_envelope = cosine,
                                   .envelope = cosine,
                                   .r_cut = 10,
                                   .priors = FRX_TEST_PRIORS_ALL};
}

void frx_test_system_make(const struct frx_test_model *model, struct frx_system *system) {
    struct source source = {.seed = model->seed};
    const size_t n = (size_t)model->n_bead;
    *system = (struct frx_system){.n_bead = model->n_bead, .n_structure = 1};
    struct frx_beads *beads = &system->beads;
    beads->type = allocate(n, sizeof *beads->type);
    beads->mass = allocate(n, sizeof *beads->mass);
    beads->residue_index = allocate(n, sizeof *beads->residue_index);
    beads->name = allocate(n, sizeof *beads->name);
    beads->residue_name = allocate(n, sizeof *beads->residue_name);
    beads->chain = allocate(n, sizeof *beads->chain);
    for (size_t i = 0; i < n; i++) {
        beads->type[i] = (int32_t)(i * 7 % N_TYPE);
        beads->mass[i] = (12 + 2.0 * (i % 3)) / 418.4;
        beads->residue_index[i] = (int32_t)i + 1;
        snprintf(beads->name[i], FRX_NAME_SIZE, "CA");
        snprintf(beads->residue_name[i], FRX_NAME_SIZE, "ALA");
        snprintf(beads->chain[i], FRX_NAME_SIZE, "A");
    }
    if (model->n_hidden) system->network = make_network(model, &source);
    system->structures = allocate(3 * n, sizeof(double));
    if (model->priors != FRX_TEST_PRIORS_HARMONIC) make_chain(&source, model->n_bead, system->structures);
    if (model->priors == FRX_TEST_PRIORS_ALL) add_all_priors(system);
    if (model->priors == FRX_TEST_PRIORS_SMOOTH) add_smooth_priors(system);
    if (model->priors == FRX_TEST_PRIORS_TORSION) {
        system->prior = allocate(1, sizeof *system->prior);
        add_prior(system, "dihedrals", FRX_FEATURE_TORSION, FRX_FORM_FOURIER, 1, 5,
                  (const double[]){0.3, 0.7, -0.2, 0.4, 0.5});
    }
    if (model->priors == FRX_TEST_PRIORS_HARMONIC) {
        system->prior = allocate(1, sizeof *system->prior);
        struct frx_prior *prior = &system->prior[system->n_prior++];
        *prior = (struct frx_prior){.name = "restraint",
                                    .feature = FRX_FEATURE_RADIUS_SQUARED,
                                    .form = FRX_FORM_POLYNOMIAL,
                                    .n_term = model->n_bead,
                                    .order = 1,
                                    .n_param = 2};
        prior->atoms = allocate(n, sizeof(int32_t));
        prior->params = allocate(2 * n, sizeof(double));
        for (size_t i = 0; i < n; i++) {
            prior->atoms[i] = (int32_t)i;
            prior->params[2 * i + 1] = 0.5;
        }
    }
    if (frx_system_validate(system) != FRX_OK) {
        fprintf(stderr, "the test system is not valid: %s\n", frx_error_message());
        exit(1);
    }
}
