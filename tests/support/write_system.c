#include "write_system.h"

#include "hdf5_write.h"
#include "make_system.h"

#include <stdio.h>
#include <stdlib.h>

/* There is no test without the file. */
static void need(int success, const char *what) {
    if (success) return;
    fprintf(stderr, "cannot write a test system: %s: %s\n", what, frx_error_message());
    exit(1);
}

static void put_string(hid_t object, const char *name, const char *value) {
    need(frx_hdf5_put_string(object, name, value ? value : "test") == FRX_OK, name);
}

static void put_real(hid_t object, const char *name, double value) {
    need(frx_hdf5_put_numbers(object, name, H5T_NATIVE_DOUBLE, 0, &value) == FRX_OK, name);
}

static void write_reals(hid_t group, const char *name, int rank, const hsize_t *shape, const double *values) {
    need(frx_hdf5_write_array(group, name, H5T_NATIVE_DOUBLE, rank, shape, values) == FRX_OK, name);
}

static hid_t create_group(hid_t parent, const char *name) {
    hid_t group = H5I_INVALID_HID;
    need(frx_hdf5_create_group(parent, name, &group) == FRX_OK, name);
    return group;
}

static void write_dense(hid_t parent, const char *name, const struct frx_dense *dense) {
    const hid_t group = create_group(parent, name);
    const hsize_t shape[2] = {(hsize_t)dense->n_out, (hsize_t)dense->n_in};
    write_reals(group, "weight", 2, shape, dense->weight);
    if (dense->bias) write_reals(group, "bias", 1, shape, dense->bias);
    H5Gclose(group);
}

static void write_mlp(hid_t parent, const char *prefix, const struct frx_mlp *mlp) {
    for (int k = 0; k < mlp->n_layer; k++) {
        char name[32];
        snprintf(name, sizeof name, "%s%d", prefix, k);
        write_dense(parent, name, &mlp->layer[k]);
    }
}

static void write_envelope(hid_t parent, const struct frx_envelope *envelope) {
    static const char *const kinds[] = {"identity", "cosine", "shifted_cosine"};
    const hid_t group = create_group(parent, "envelope");
    put_string(group, "kind", kinds[envelope->kind]);
    put_real(group, "r_lo", envelope->r_lo);
    put_real(group, "r_hi", envelope->r_hi);
    H5Gclose(group);
}

static void write_basis(hid_t parent, const struct frx_basis *basis) {
    const hid_t group = create_group(parent, "basis");
    const hsize_t n_basis = (hsize_t)basis->n_basis;
    put_string(group, "name", basis->name);
    put_string(group, "transform", basis->transform == FRX_BASIS_LINEAR ? "linear" : "exponential");
    put_real(group, "alpha", basis->alpha);
    put_real(group, "r_shift", basis->r_shift);
    write_reals(group, "center", 1, &n_basis, basis->center);
    write_reals(group, "coefficient", 1, &n_basis, basis->coefficient);
    write_envelope(group, &basis->envelope);
    H5Gclose(group);
}

static void write_network(hid_t file, const struct frx_network *net) {
    const hid_t group = create_group(file, "network");
    const hsize_t shape[2] = {(hsize_t)net->n_type, (hsize_t)net->n_hidden};
    put_string(group, "activation", "tanh");
    put_real(group, "r_cut", net->r_cut);
    put_real(group, "scale", net->scale);
    put_real(group, "shift", net->shift);
    write_reals(group, "embedding", 2, shape, net->embedding);
    write_basis(group, &net->basis);
    write_envelope(group, &net->envelope);
    for (int l = 0; l < net->n_interaction; l++) {
        char name[32];
        snprintf(name, sizeof name, "interaction_%d", l);
        const hid_t interaction = create_group(group, name);
        write_mlp(interaction, "filter_", &net->interaction[l].filter);
        write_dense(interaction, "lin1", &net->interaction[l].lin1);
        write_dense(interaction, "lin2", &net->interaction[l].lin2);
        write_dense(interaction, "lin", &net->interaction[l].lin);
        H5Gclose(interaction);
    }
    write_mlp(group, "output_", &net->output);
    H5Gclose(group);
}

static void write_prior(hid_t parent, const struct frx_prior *prior) {
    const hid_t group = create_group(parent, prior->name);
    const hsize_t atoms[2] = {(hsize_t)prior->n_term, (hsize_t)prior->order};
    const hsize_t params[2] = {(hsize_t)prior->n_term, (hsize_t)prior->n_param};
    put_string(group, "feature", frx_feature_name(prior->feature));
    put_string(group, "form", frx_form_name(prior->form));
    need(frx_hdf5_write_array(group, "atoms", H5T_NATIVE_INT32, 2, atoms, prior->atoms) == FRX_OK, "atoms");
    write_reals(group, "params", 2, params, prior->params);
    H5Gclose(group);
}

static void write_known_answer(hid_t file, const struct frx_system *system) {
    const struct frx_known_answer *answer = system->known_answer;
    const hid_t group = create_group(file, "known_answer"), parts = create_group(group, "parts");
    const hsize_t shape[3] = {1, (hsize_t)system->n_bead, 3};
    write_reals(group, "positions", 3, shape, answer->positions);
    write_reals(group, "forces", 3, shape, answer->forces);
    write_reals(group, "energy", 1, shape, &answer->energy);
    for (int p = 0; p < frx_system_n_part(system); p++)
        write_reals(parts, frx_system_part_name(system, p), 1, shape, &answer->part[p]);
    H5Gclose(parts);
    H5Gclose(group);
}

void frx_test_system_write(const char *path, const struct frx_system *system) {
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    need(file >= 0, path);
    put_string(file, "flashrex_format", "system");
    need(frx_hdf5_put_int(file, "version", 1) == FRX_OK, "version");
    put_string(file, "generator", system->generator);
    put_string(file, "family", system->family);
    put_string(file, "source", system->source);
    put_string(file, "source_sha256", system->source_sha256);
    need(frx_hdf5_write_molecule(file, system) == FRX_OK, "beads");
    if (system->network) write_network(file, system->network);
    const hid_t priors = create_group(file, "priors"), structures = create_group(file, "structures");
    for (int p = 0; p < system->n_prior; p++) write_prior(priors, &system->prior[p]);
    const hsize_t shape[3] = {(hsize_t)system->n_structure, (hsize_t)system->n_bead, 3};
    write_reals(structures, "positions", 3, shape, system->structures);
    if (system->known_answer) write_known_answer(file, system);
    H5Gclose(priors);
    H5Gclose(structures);
    need(H5Fclose(file) >= 0, path);
}

void frx_test_system_write_small(const char *path) {
    struct frx_test_model model = frx_test_model_default();
    model.n_bead = 8; /* enough for a term of every prior */
    model.n_hidden = model.n_filter = 4;
    model.n_basis = 3;
    struct frx_system system;
    frx_test_system_make(&model, &system);
    const size_t n = 3 * (size_t)system.n_bead;
    struct frx_known_answer *answer = calloc(1, sizeof *answer);
    system.known_answer = answer;
    system.bonds = calloc(2, sizeof *system.bonds);
    if (answer) {
        answer->positions = calloc(n, sizeof *answer->positions);
        answer->forces = calloc(n, sizeof *answer->forces);
        answer->part = calloc((size_t)frx_system_n_part(&system), sizeof *answer->part);
    }
    if (!answer || !answer->positions || !answer->forces || !answer->part || !system.bonds) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    system.n_bond = 1;
    system.bonds[1] = 1;
    frx_test_system_write(path, &system);
    frx_system_clear(&system);
}
