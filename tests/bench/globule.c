#include "globule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PAIRS_PER_BEAD (44036.0 / 269)

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

struct frx_test_model frx_globule_model(void) {
    const struct frx_envelope cosine = {FRX_ENVELOPE_COSINE, 0, 15};
    struct frx_test_model model = frx_test_model_default();
    model.n_bead = 269;
    model.n_hidden = model.n_filter = 128;
    model.n_interaction = 4;
    model.n_basis = 64;
    model.n_output_layer = 3;
    model.envelope = model.basis_envelope = cosine;
    model.r_cut = 15;
    model.priors = FRX_TEST_PRIORS_NONE;
    return model;
}

void frx_globule_make(const struct frx_test_model *model, struct frx_system *system) {
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
    if (system->network) {
        struct frx_basis *basis = &system->network->basis;
        for (int k = 0; k < basis->n_basis; k++) basis->coefficient[k] *= 0.5; /* as wide as mlcg's */
        system->network->scale = 0.02; /* random forces that no prior holds */
    }
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
    if (frx_system_validate(system) == FRX_OK) return;
    fprintf(stderr, "%s\n", frx_error_message());
    exit(1);
}
