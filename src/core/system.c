#include "system.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int order;
} feature_table[] = {
#define FRX_FEATURE_ROW(id, name, order) {name, order},
    FRX_FEATURE_LIST(FRX_FEATURE_ROW)
#undef FRX_FEATURE_ROW
};

static const struct {
    const char *name;
    int min_params;
} form_table[] = {
#define FRX_FORM_ROW(id, name, n_param) {name, n_param},
    FRX_FORM_LIST(FRX_FORM_ROW)
#undef FRX_FORM_ROW
};

const char *frx_feature_name(enum frx_feature feature) {
    return feature_table[feature].name;
}
int frx_feature_order(enum frx_feature feature) {
    return feature_table[feature].order;
}
const char *frx_form_name(enum frx_form form) {
    return form_table[form].name;
}
int frx_form_min_params(enum frx_form form) {
    return form_table[form].min_params;
}

int frx_system_n_part(const struct frx_system *system) {
    return (system->network ? 1 : 0) + system->n_prior;
}

const char *frx_system_part_name(const struct frx_system *system, int part) {
    const int first_prior = system->network ? 1 : 0;
    return part < first_prior ? "SchNet" : system->prior[part - first_prior].name;
}

int frx_system_is_translation_invariant(const struct frx_system *system) {
    for (int p = 0; p < system->n_prior; p++)
        if (system->prior[p].feature == FRX_FEATURE_RADIUS_SQUARED) return 0;
    return 1;
}

/* ---- validation ---- */

static enum frx_status check_finite(const char *name, const double *value, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(value[i]))
            return FRX_FAIL(FRX_ERR_MODEL, "%s has %g at element %zu of %zu", name, value[i], i, n);
    return FRX_OK;
}

static enum frx_status check_dense(const char *name, const struct frx_dense *dense, int n_in, int n_out) {
    if (dense->n_in != n_in || (n_out > 0 && dense->n_out != n_out) || dense->n_out < 1)
        return FRX_FAIL(FRX_ERR_MODEL, "%s maps %d to %d channels, expected %d to %d", name, dense->n_in,
                        dense->n_out, n_in, n_out > 0 ? n_out : dense->n_out);
    FRX_TRY(check_finite(name, dense->weight, (size_t)dense->n_in * dense->n_out));
    if (dense->bias) FRX_TRY(check_finite(name, dense->bias, (size_t)dense->n_out));
    return FRX_OK;
}

static enum frx_status check_mlp(const char *name, const struct frx_mlp *mlp, int n_in, int n_out) {
    if (mlp->n_layer < 1) return FRX_FAIL(FRX_ERR_MODEL, "%s has no layers", name);
    for (int k = 0; k < mlp->n_layer; k++) {
        FRX_TRY(check_dense(name, &mlp->layer[k], n_in, k == mlp->n_layer - 1 ? n_out : 0));
        n_in = mlp->layer[k].n_out;
    }
    return FRX_OK;
}

static enum frx_status check_envelope(const char *name, const struct frx_envelope *envelope, double r_cut) {
    const double lo = envelope->r_lo, hi = envelope->r_hi;
    if (!isfinite(lo) || !isfinite(hi) || lo < 0 || hi <= 0 || lo > hi ||
        (envelope->kind != FRX_ENVELOPE_IDENTITY && lo == hi))
        return FRX_FAIL(FRX_ERR_MODEL, "%s reaches from %g to %g A", name, lo, hi);
    if (hi < r_cut * (1 - 1e-6) && envelope->kind == FRX_ENVELOPE_IDENTITY)
        return FRX_FAIL(FRX_ERR_MODEL, "%s ends at %g A, inside the cutoff of %g A, without going to zero",
                        name, hi, r_cut);
    return FRX_OK;
}

static enum frx_status check_interaction(const struct frx_network *net, int l) {
    const struct frx_interaction *interaction = &net->interaction[l];
    const struct frx_dense *dense[] = {&interaction->lin1, &interaction->lin2, &interaction->lin};
    static const char *const dense_name[] = {"lin1", "lin2", "lin"};
    char name[64];
    snprintf(name, sizeof name, "interaction %d, filter network", l);
    FRX_TRY(check_mlp(name, &interaction->filter, net->basis.n_basis, net->n_filter));
    for (int d = 0; d < 3; d++) {
        const int n_in = d == 1 ? net->n_filter : net->n_hidden;
        snprintf(name, sizeof name, "interaction %d, %s", l, dense_name[d]);
        FRX_TRY(check_dense(name, dense[d], n_in, d == 0 ? net->n_filter : net->n_hidden));
    }
    if (interaction->lin1.bias) return FRX_FAIL(FRX_ERR_MODEL, "interaction %d, lin1 has a bias", l);
    return FRX_OK;
}

static enum frx_status check_network(const struct frx_network *net) {
    if (!(net->r_cut > 0) || !isfinite(net->r_cut))
        return FRX_FAIL(FRX_ERR_MODEL, "network cutoff is %g A", net->r_cut);
    if (net->n_type < 1 || net->n_hidden < 1 || net->n_filter < 1 || net->n_interaction < 1)
        return FRX_FAIL(FRX_ERR_MODEL, "network has %d types, %d hidden, %d filter channels, %d interactions",
                        net->n_type, net->n_hidden, net->n_filter, net->n_interaction);
    const double scalar[2] = {net->scale, net->shift};
    FRX_TRY(check_finite("network scale and shift", scalar, 2));
    FRX_TRY(check_finite("network embedding", net->embedding, (size_t)net->n_type * net->n_hidden));
    if (net->basis.n_basis < 1) return FRX_FAIL(FRX_ERR_MODEL, "network basis has no functions");
    const double transform[2] = {net->basis.alpha, net->basis.r_shift};
    FRX_TRY(check_finite("network basis alpha and r_shift", transform, 2));
    FRX_TRY(check_finite("network basis center", net->basis.center, (size_t)net->basis.n_basis));
    FRX_TRY(check_finite("network basis coefficient", net->basis.coefficient, (size_t)net->basis.n_basis));
    FRX_TRY(check_envelope("basis envelope", &net->basis.envelope, net->r_cut));
    FRX_TRY(check_envelope("filter envelope", &net->envelope, net->r_cut));
    for (int l = 0; l < net->n_interaction; l++) FRX_TRY(check_interaction(net, l));
    return check_mlp("output network", &net->output, net->n_hidden, 1);
}

static enum frx_status check_prior(const struct frx_prior *prior, int n_bead) {
    if ((unsigned)prior->feature >= FRX_N_FEATURE || (unsigned)prior->form >= FRX_N_FORM)
        return FRX_FAIL(FRX_ERR_MODEL, "prior %s has an unknown feature or form", prior->name);
    if (prior->order != feature_table[prior->feature].order)
        return FRX_FAIL(FRX_ERR_MODEL, "prior %s lists %d beads per term, %s needs %d", prior->name,
                        prior->order, feature_table[prior->feature].name,
                        feature_table[prior->feature].order);
    const int exact = prior->form == FRX_FORM_HARMONIC || prior->form == FRX_FORM_REPULSION ||
                      prior->form == FRX_FORM_GAUSSIAN;
    const int least = form_table[prior->form].min_params;
    if (prior->n_param < least || (exact && prior->n_param != least) ||
        (prior->form == FRX_FORM_FOURIER && prior->n_param % 2 == 0))
        return FRX_FAIL(FRX_ERR_MODEL, "prior %s has %d parameters per term, which %s does not take",
                        prior->name, prior->n_param, form_table[prior->form].name);
    if (prior->form == FRX_FORM_RESTRICTED && prior->feature != FRX_FEATURE_ANGLE_COS)
        return FRX_FAIL(FRX_ERR_MODEL, "prior %s: form restricted goes with feature angle_cos only",
                        prior->name);
    if (prior->form == FRX_FORM_REPULSION && prior->feature != FRX_FEATURE_DISTANCE)
        return FRX_FAIL(FRX_ERR_MODEL, "prior %s: form repulsion goes with feature distance only",
                        prior->name);
    for (int t = 0; prior->form == FRX_FORM_GAUSSIAN && t < prior->n_term; t++)
        if (!(prior->params[3 * (size_t)t + 2] > 0))
            return FRX_FAIL(FRX_ERR_MODEL, "prior %s, term %d has a well of width %g", prior->name, t,
                            prior->params[3 * (size_t)t + 2]);
    for (int t = 0; t < prior->n_term; t++)
        for (int a = 0; a < prior->order; a++) {
            const int32_t *atoms = prior->atoms + (size_t)t * prior->order;
            if (atoms[a] < 0 || atoms[a] >= n_bead)
                return FRX_FAIL(FRX_ERR_MODEL, "prior %s, term %d names bead %d of %d", prior->name, t,
                                atoms[a], n_bead);
            for (int b = 0; b < a; b++)
                if (atoms[a] == atoms[b])
                    return FRX_FAIL(FRX_ERR_MODEL, "prior %s, term %d names bead %d twice", prior->name, t,
                                    atoms[a]);
        }
    return check_finite(prior->name, prior->params, (size_t)prior->n_term * prior->n_param);
}

int frx_system_has_pair_energy(const struct frx_system *system) {
    if (system->network) return 1;
    for (int p = 0; p < system->n_prior; p++)
        if (system->prior[p].form == FRX_FORM_REPULSION) return 1;
    return 0;
}

enum frx_status frx_positions_check(const double *positions, int n_bead, int distinct, const char *what) {
    for (int i = 0; i < n_bead; i++) {
        const double *a = positions + 3 * (size_t)i;
        for (int k = 0; k < 3; k++)
            if (!(fabs(a[k]) <= FRX_FARTHEST))
                return FRX_FAIL(FRX_ERR_MODEL, "%s: bead %d has coordinate %g", what, i, a[k]);
        if (!distinct) continue;
        for (int j = 0; j < i; j++) {
            const double *b = positions + 3 * (size_t)j;
            const double r2 =
                (a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]) + (a[2] - b[2]) * (a[2] - b[2]);
            if (r2 < FRX_OVERLAP * FRX_OVERLAP)
                return FRX_FAIL(FRX_ERR_MODEL, "%s: beads %d and %d overlap (%.4g A apart)", what, j, i,
                                sqrt(r2));
        }
    }
    return FRX_OK;
}

enum frx_status frx_system_validate(const struct frx_system *system) {
    if (system->n_bead < 1) return FRX_FAIL(FRX_ERR_MODEL, "the system has %d beads", system->n_bead);
    for (int i = 0; i < system->n_bead; i++) {
        if (!(system->beads.mass[i] > 0) || !isfinite(system->beads.mass[i]))
            return FRX_FAIL(FRX_ERR_MODEL, "bead %d has mass %g", i, system->beads.mass[i]);
        const int n_type = system->network ? system->network->n_type : INT32_MAX;
        if (system->beads.type[i] < 0 || system->beads.type[i] >= n_type)
            return FRX_FAIL(FRX_ERR_MODEL, "bead %d has type %d, the embedding has types 0 to %d", i,
                            system->beads.type[i], n_type - 1);
    }
    for (int b = 0; b < 2 * system->n_bond; b++)
        if (system->bonds[b] < 0 || system->bonds[b] >= system->n_bead)
            return FRX_FAIL(FRX_ERR_MODEL, "bond %d names bead %d of %d", b / 2, system->bonds[b],
                            system->n_bead);
    if (system->network) FRX_TRY(check_network(system->network));
    const int first_prior = system->network ? 1 : 0;
    for (int p = 0; p < system->n_prior; p++) {
        FRX_TRY(check_prior(&system->prior[p], system->n_bead));
        for (int part = 0; part < first_prior + p; part++)
            if (strcmp(system->prior[p].name, frx_system_part_name(system, part)) == 0)
                return FRX_FAIL(FRX_ERR_MODEL, "two parts of the energy are called %s",
                                system->prior[p].name);
    }
    if (system->n_structure < 1) return FRX_FAIL(FRX_ERR_MODEL, "the system has no starting structure");
    for (int s = 0; s < system->n_structure; s++) {
        char what[64];
        snprintf(what, sizeof what, "starting structure %d", s);
        FRX_TRY(frx_positions_check(system->structures + (size_t)s * system->n_bead * 3, system->n_bead,
                                    frx_system_has_pair_energy(system), what));
    }
    return FRX_OK;
}

/* ---- freeing ---- */

static void clear_dense(struct frx_dense *dense) {
    free(dense->weight);
    free(dense->bias);
}

static void clear_mlp(struct frx_mlp *mlp) {
    for (int k = 0; mlp->layer && k < mlp->n_layer; k++) clear_dense(&mlp->layer[k]);
    free(mlp->layer);
}

static void clear_network(struct frx_network *net) {
    free(net->embedding);
    free(net->basis.center);
    free(net->basis.coefficient);
    for (int l = 0; net->interaction && l < net->n_interaction; l++) {
        clear_mlp(&net->interaction[l].filter);
        clear_dense(&net->interaction[l].lin1);
        clear_dense(&net->interaction[l].lin2);
        clear_dense(&net->interaction[l].lin);
    }
    free(net->interaction);
    clear_mlp(&net->output);
    free(net);
}

void frx_system_clear(struct frx_system *system) {
    if (!system) return;
    free(system->beads.type);
    free(system->beads.mass);
    free(system->beads.residue_index);
    free(system->beads.name);
    free(system->beads.residue_name);
    free(system->beads.chain);
    free(system->bonds);
    if (system->network) clear_network(system->network);
    for (int p = 0; system->prior && p < system->n_prior; p++) {
        free(system->prior[p].atoms);
        free(system->prior[p].params);
    }
    free(system->prior);
    free(system->structures);
    if (system->known_answer) {
        free(system->known_answer->positions);
        free(system->known_answer->forces);
        free(system->known_answer->part);
        free(system->known_answer);
    }
    free(system->generator);
    free(system->family);
    free(system->source);
    free(system->source_sha256);
    memset(system, 0, sizeof *system);
}
