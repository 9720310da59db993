#include "system_file.h"

#include "guard.h"
#include "hdf5_read.h"
#include "sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYSTEM_VERSION 1

static const char *const no_attributes[] = {NULL};

/* Zeroed memory for n elements, so that frx_system_clear works at any point of a failed read. */
static enum frx_status allocate(size_t n, size_t size, const char *what, void *pointer) {
    void *memory = calloc(n ? n : 1, size);
    if (!memory) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %zu %s", n, what);
    memcpy(pointer, &memory, sizeof memory);
    return FRX_OK;
}

/* ---- network ---- */

static enum frx_status read_envelope(hid_t parent, struct frx_envelope *envelope) {
    static const char *const kinds[] = {"identity", "cosine", "shifted_cosine", NULL};
    static const char *const attributes[] = {"kind", "r_lo", "r_hi", NULL};
    static const struct frx_hdf5_member none[] = {{NULL, 0}};
    FRX_HID group = H5I_INVALID_HID;
    int kind;
    FRX_TRY(frx_hdf5_open_group(parent, "envelope", &group));
    FRX_TRY(frx_hdf5_refuse_others(group, none, attributes));
    FRX_TRY(frx_hdf5_attribute_choice(group, "kind", kinds, &kind));
    envelope->kind = (enum frx_envelope_kind)kind;
    FRX_TRY(frx_hdf5_attribute_real(group, "r_lo", &envelope->r_lo));
    return frx_hdf5_attribute_real(group, "r_hi", &envelope->r_hi);
}

static enum frx_status read_basis(hid_t parent, struct frx_basis *basis) {
    static const char *const transforms[] = {"linear", "exponential", NULL};
    static const char *const attributes[] = {"name", "transform", "alpha", "r_shift", NULL};
    static const struct frx_hdf5_member members[] = {
        {"center", 0}, {"coefficient", 0}, {"envelope", 0}, {NULL, 0}};
    FRX_HID group = H5I_INVALID_HID;
    int transform;
    char *name;
    FRX_TRY(frx_hdf5_open_group(parent, "basis", &group));
    FRX_TRY(frx_hdf5_refuse_others(group, members, attributes));
    FRX_TRY(frx_hdf5_attribute_string(group, "name", &name));
    snprintf(basis->name, sizeof basis->name, "%s", name);
    free(name);
    FRX_TRY(frx_hdf5_attribute_choice(group, "transform", transforms, &transform));
    basis->transform = (enum frx_basis_transform)transform;
    FRX_TRY(frx_hdf5_attribute_real(group, "alpha", &basis->alpha));
    FRX_TRY(frx_hdf5_attribute_real(group, "r_shift", &basis->r_shift));
    int n_basis = FRX_ANY;
    FRX_TRY(frx_hdf5_read_reals(group, "center", 1, &n_basis, &basis->center));
    FRX_TRY(frx_hdf5_read_reals(group, "coefficient", 1, &n_basis, &basis->coefficient));
    basis->n_basis = n_basis;
    return read_envelope(group, &basis->envelope);
}

static enum frx_status read_dense(hid_t parent, const char *name, struct frx_dense *dense) {
    static const struct frx_hdf5_member members[] = {{"weight", 0}, {"bias", 0}, {NULL, 0}};
    FRX_HID group = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_open_group(parent, name, &group));
    FRX_TRY(frx_hdf5_refuse_others(group, members, no_attributes));
    int shape[2] = {FRX_ANY, FRX_ANY};
    FRX_TRY(frx_hdf5_read_reals(group, "weight", 2, shape, &dense->weight));
    dense->n_out = shape[0];
    dense->n_in = shape[1];
    if (frx_hdf5_has(group, "bias")) FRX_TRY(frx_hdf5_read_reals(group, "bias", 1, shape, &dense->bias));
    return FRX_OK;
}

/* The layers prefix0, prefix1, .. of a group. */
static enum frx_status read_mlp(hid_t parent, const char *prefix, int n_layer, struct frx_mlp *mlp) {
    FRX_TRY(allocate((size_t)n_layer, sizeof *mlp->layer, "layers", &mlp->layer));
    mlp->n_layer = n_layer;
    for (int k = 0; k < n_layer; k++) {
        char name[FRX_NAME_SIZE];
        snprintf(name, sizeof name, "%s%d", prefix, k);
        FRX_TRY(read_dense(parent, name, &mlp->layer[k]));
    }
    return FRX_OK;
}

/* Number of members prefix0, prefix1, .., of which there must be one. */
static enum frx_status count_at_least_one(hid_t group, const char *prefix, int *n) {
    *n = frx_hdf5_count_numbered(group, prefix);
    if (*n > 0) return FRX_OK;
    char place[FRX_PLACE_SIZE];
    frx_hdf5_place(group, prefix, place);
    return FRX_FAIL(FRX_ERR_FORMAT, "%s0 is missing", place);
}

static enum frx_status read_interaction(hid_t parent, int l, struct frx_interaction *interaction) {
    char name[FRX_NAME_SIZE];
    snprintf(name, sizeof name, "interaction_%d", l);
    FRX_HID group = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_open_group(parent, name, &group));
    int n_layer;
    FRX_TRY(count_at_least_one(group, "filter_", &n_layer));
    const struct frx_hdf5_member members[] = {
        {"filter_", n_layer}, {"lin1", 0}, {"lin2", 0}, {"lin", 0}, {NULL, 0}};
    FRX_TRY(frx_hdf5_refuse_others(group, members, no_attributes));
    FRX_TRY(read_mlp(group, "filter_", n_layer, &interaction->filter));
    FRX_TRY(read_dense(group, "lin1", &interaction->lin1));
    FRX_TRY(read_dense(group, "lin2", &interaction->lin2));
    return read_dense(group, "lin", &interaction->lin);
}

static enum frx_status read_network(hid_t file, struct frx_network *net) {
    static const char *const attributes[] = {"r_cut", "activation", "scale", "shift", NULL};
    static const char *const activations[] = {"tanh", NULL};
    FRX_HID group = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_open_group(file, "network", &group));
    int n_interaction, n_output, activation;
    FRX_TRY(count_at_least_one(group, "interaction_", &n_interaction));
    FRX_TRY(count_at_least_one(group, "output_", &n_output));
    const struct frx_hdf5_member members[] = {{"embedding", 0},      {"basis", 0},
                                              {"envelope", 0},       {"interaction_", n_interaction},
                                              {"output_", n_output}, {NULL, 0}};
    FRX_TRY(frx_hdf5_refuse_others(group, members, attributes));
    FRX_TRY(frx_hdf5_attribute_choice(group, "activation", activations, &activation));
    FRX_TRY(frx_hdf5_attribute_real(group, "r_cut", &net->r_cut));
    FRX_TRY(frx_hdf5_attribute_real(group, "scale", &net->scale));
    FRX_TRY(frx_hdf5_attribute_real(group, "shift", &net->shift));
    int shape[2] = {FRX_ANY, FRX_ANY};
    FRX_TRY(frx_hdf5_read_reals(group, "embedding", 2, shape, &net->embedding));
    net->n_type = shape[0];
    net->n_hidden = shape[1];
    FRX_TRY(read_basis(group, &net->basis));
    FRX_TRY(read_envelope(group, &net->envelope));
    FRX_TRY(allocate((size_t)n_interaction, sizeof *net->interaction, "interactions", &net->interaction));
    net->n_interaction = n_interaction;
    for (int l = 0; l < n_interaction; l++) FRX_TRY(read_interaction(group, l, &net->interaction[l]));
    net->n_filter = net->interaction[0].lin1.n_out;
    return read_mlp(group, "output_", n_output, &net->output);
}

/* ---- priors ---- */

static enum frx_status read_prior(hid_t parent, struct frx_prior *prior) {
#define NAME_OF(id, name, number) name,
    static const char *const features[] = {FRX_FEATURE_LIST(NAME_OF) NULL};
    static const char *const forms[] = {FRX_FORM_LIST(NAME_OF) NULL};
#undef NAME_OF
    static const char *const attributes[] = {"feature", "form", NULL};
    static const struct frx_hdf5_member members[] = {{"atoms", 0}, {"params", 0}, {NULL, 0}};
    FRX_HID group = H5I_INVALID_HID;
    int feature, form;
    FRX_TRY(frx_hdf5_open_group(parent, prior->name, &group));
    FRX_TRY(frx_hdf5_refuse_others(group, members, attributes));
    FRX_TRY(frx_hdf5_attribute_choice(group, "feature", features, &feature));
    FRX_TRY(frx_hdf5_attribute_choice(group, "form", forms, &form));
    prior->feature = (enum frx_feature)feature;
    prior->form = (enum frx_form)form;
    prior->order = frx_feature_order(prior->feature);
    int shape[2] = {FRX_ANY, prior->order};
    FRX_TRY(frx_hdf5_read_ints(group, "atoms", 2, shape, &prior->atoms));
    shape[1] = FRX_ANY;
    FRX_TRY(frx_hdf5_read_reals(group, "params", 2, shape, &prior->params));
    prior->n_term = shape[0];
    prior->n_param = shape[1];
    return FRX_OK;
}

static enum frx_status read_priors(hid_t file, struct frx_system *system) {
    if (!frx_hdf5_has(file, "priors")) return FRX_OK;
    FRX_HID group = H5I_INVALID_HID;
    int n;
    FRX_TRY(frx_hdf5_open_group(file, "priors", &group));
    FRX_TRY(frx_hdf5_count_members(group, &n));
    FRX_TRY(allocate((size_t)n, sizeof *system->prior, "priors", &system->prior));
    system->n_prior = n;
    for (int p = 0; p < n; p++) {
        FRX_TRY(frx_hdf5_member_name(group, p, system->prior[p].name));
        FRX_TRY(read_prior(group, &system->prior[p]));
    }
    return FRX_OK;
}

/* ---- the rest ---- */

static enum frx_status read_beads(hid_t file, struct frx_system *system) {
    struct frx_beads *beads = &system->beads;
    FRX_HID group = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_open_group(file, "beads", &group));
    int n_bead = FRX_ANY;
    FRX_TRY(frx_hdf5_read_ints(group, "type", 1, &n_bead, &beads->type));
    system->n_bead = n_bead;
    FRX_TRY(frx_hdf5_read_reals(group, "mass", 1, &n_bead, &beads->mass));
    FRX_TRY(frx_hdf5_read_ints(group, "residue_index", 1, &n_bead, &beads->residue_index));
    FRX_TRY(frx_hdf5_read_names(group, "name", n_bead, &beads->name));
    FRX_TRY(frx_hdf5_read_names(group, "residue_name", n_bead, &beads->residue_name));
    return frx_hdf5_read_names(group, "chain", n_bead, &beads->chain);
}

static enum frx_status read_topology(hid_t file, struct frx_system *system) {
    FRX_HID group = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_open_group(file, "topology", &group));
    int shape[2] = {FRX_ANY, 2};
    FRX_TRY(frx_hdf5_read_ints(group, "bonds", 2, shape, &system->bonds));
    system->n_bond = shape[0];
    return FRX_OK;
}

static enum frx_status read_structures(hid_t file, struct frx_system *system) {
    FRX_HID group = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_open_group(file, "structures", &group));
    int shape[3] = {FRX_ANY, system->n_bead, 3};
    FRX_TRY(frx_hdf5_read_reals(group, "positions", 3, shape, &system->structures));
    system->n_structure = shape[0];
    return FRX_OK;
}

static enum frx_status read_scalar(hid_t parent, const char *name, double *value) {
    int one = 1;
    double *values;
    FRX_TRY(frx_hdf5_read_reals(parent, name, 1, &one, &values));
    *value = values[0];
    free(values);
    return FRX_OK;
}

static enum frx_status read_known_answer(hid_t file, struct frx_system *system) {
    if (!frx_hdf5_has(file, "known_answer")) return FRX_OK;
    FRX_HID group = H5I_INVALID_HID, parts = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_open_group(file, "known_answer", &group));
    FRX_TRY(allocate(1, sizeof *system->known_answer, "known answer", &system->known_answer));
    struct frx_known_answer *answer = system->known_answer;
    int shape[3] = {1, system->n_bead, 3};
    FRX_TRY(frx_hdf5_read_reals(group, "positions", 3, shape, &answer->positions));
    FRX_TRY(frx_hdf5_read_reals(group, "forces", 3, shape, &answer->forces));
    FRX_TRY(read_scalar(group, "energy", &answer->energy));
    const int n_part = frx_system_n_part(system);
    FRX_TRY(allocate((size_t)n_part, sizeof *answer->part, "parts", &answer->part));
    FRX_TRY(frx_hdf5_open_group(group, "parts", &parts));
    for (int p = 0; p < n_part; p++)
        FRX_TRY(read_scalar(parts, frx_system_part_name(system, p), &answer->part[p]));
    int n_found;
    FRX_TRY(frx_hdf5_count_members(parts, &n_found));
    if (n_found == n_part) return FRX_OK;
    char place[FRX_PLACE_SIZE];
    frx_hdf5_place(parts, NULL, place);
    return FRX_FAIL(FRX_ERR_FORMAT, "%s has %d members, but the energy has %d parts", place, n_found, n_part);
}

static enum frx_status read_root(hid_t file, const char *path, struct frx_system *system) {
    char *format;
    int64_t version;
    if (H5Aexists(file, "flashrex_format") <= 0)
        return FRX_FAIL(FRX_ERR_FORMAT, "%s is an HDF5 file, but not one of flashrex", path);
    FRX_TRY(frx_hdf5_attribute_string(file, "flashrex_format", &format));
    const int is_system = strcmp(format, "system") == 0;
    free(format);
    if (!is_system) return FRX_FAIL(FRX_ERR_FORMAT, "%s is a file of flashrex, but not a system file", path);
    FRX_TRY(frx_hdf5_attribute_int(file, "version", &version));
    if (version != SYSTEM_VERSION)
        return FRX_FAIL(FRX_ERR_FORMAT,
                        "%s: the system file has version %lld, this flashrex reads version %d", path,
                        (long long)version, SYSTEM_VERSION);
    FRX_TRY(frx_hdf5_attribute_string(file, "generator", &system->generator));
    FRX_TRY(frx_hdf5_attribute_string(file, "family", &system->family));
    FRX_TRY(frx_hdf5_attribute_string(file, "source", &system->source));
    return frx_hdf5_attribute_string(file, "source_sha256", &system->source_sha256);
}

static enum frx_status read_system(const char *path, struct frx_system *system) {
    FRX_HID file = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_open(path, &file));
    FRX_TRY(read_root(file, path, system));
    FRX_TRY(read_beads(file, system));
    FRX_TRY(read_topology(file, system));
    if (frx_hdf5_has(file, "network")) {
        FRX_TRY(allocate(1, sizeof *system->network, "network", &system->network));
        FRX_TRY(read_network(file, system->network));
    }
    FRX_TRY(read_priors(file, system));
    FRX_TRY(read_structures(file, system));
    FRX_TRY(read_known_answer(file, system));
    FRX_TRY(frx_sha256_file(path, system->content_sha256));
    const enum frx_status status = frx_system_validate(system);
    if (status != FRX_OK) {
        char message[FRX_MESSAGE_SIZE];
        snprintf(message, sizeof message, "%.300s: %.700s", path, frx_error_message());
        frx_error_set(message);
    }
    return status;
}

enum frx_status frx_system_read_unguarded(const char *path, struct frx_system *system) {
    memset(system, 0, sizeof *system);
    const enum frx_status status = read_system(path, system);
    if (status != FRX_OK) frx_system_clear(system);
    return status;
}

static enum frx_status probe(const char *path) {
    struct frx_system system;
    const enum frx_status status = frx_system_read_unguarded(path, &system);
    frx_system_clear(&system);
    return status;
}

enum frx_status frx_system_read(const char *path, struct frx_system *system) {
    memset(system, 0, sizeof *system);
    FRX_TRY(frx_guard(path, probe));
    return frx_system_read_unguarded(path, system);
}
