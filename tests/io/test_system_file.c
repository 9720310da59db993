/* The system file reader gives back what was written, whatever storage types the writer chose. Files that are
 * not what they should be are the business of test_system_hostile.c. */
#include "check.h"
#include "hdf5_write.h"
#include "make_system.h"
#include "sha256.h"
#include "system_file.h"
#include "write_system.h"

#include <stdlib.h>
#include <string.h>

#define PATH "test_system_file.h5"

static int same(const double *a, const double *b, size_t n) {
    return (!a && !b) || (a && b && memcmp(a, b, n * sizeof *a) == 0);
}

static void check_dense(const struct frx_dense *a, const struct frx_dense *b) {
    CHECK(a->n_out == b->n_out && a->n_in == b->n_in, "%d x %d, expected %d x %d", a->n_out, a->n_in,
          b->n_out, b->n_in);
    CHECK(same(a->weight, b->weight, (size_t)a->n_out * a->n_in), "weights");
    CHECK(same(a->bias, b->bias, (size_t)a->n_out), "biases");
}

static void check_mlp(const struct frx_mlp *a, const struct frx_mlp *b) {
    CHECK(a->n_layer == b->n_layer, "%d layers, expected %d", a->n_layer, b->n_layer);
    for (int k = 0; k < a->n_layer && k < b->n_layer; k++) check_dense(&a->layer[k], &b->layer[k]);
}

static void check_envelope(const struct frx_envelope *a, const struct frx_envelope *b) {
    CHECK(a->kind == b->kind && a->r_lo == b->r_lo && a->r_hi == b->r_hi, "envelope %d %g %g", a->kind,
          a->r_lo, a->r_hi);
}

static void check_network(const struct frx_network *a, const struct frx_network *b) {
    CHECK(a->r_cut == b->r_cut && a->scale == b->scale && a->shift == b->shift, "numbers of the network");
    CHECK(a->n_type == b->n_type && a->n_hidden == b->n_hidden && a->n_filter == b->n_filter, "sizes");
    CHECK(a->n_interaction == b->n_interaction, "%d interactions", a->n_interaction);
    CHECK(same(a->embedding, b->embedding, (size_t)a->n_type * a->n_hidden), "embedding");
    CHECK(a->basis.transform == b->basis.transform && a->basis.alpha == b->basis.alpha &&
              a->basis.r_shift == b->basis.r_shift && a->basis.n_basis == b->basis.n_basis,
          "basis");
    CHECK(same(a->basis.center, b->basis.center, (size_t)a->basis.n_basis), "centers");
    CHECK(same(a->basis.coefficient, b->basis.coefficient, (size_t)a->basis.n_basis), "coefficients");
    CHECK(strcmp(a->basis.name, b->basis.name) == 0, "%s", a->basis.name);
    check_envelope(&a->basis.envelope, &b->basis.envelope);
    check_envelope(&a->envelope, &b->envelope);
    for (int l = 0; l < a->n_interaction && l < b->n_interaction; l++) {
        check_mlp(&a->interaction[l].filter, &b->interaction[l].filter);
        check_dense(&a->interaction[l].lin1, &b->interaction[l].lin1);
        check_dense(&a->interaction[l].lin2, &b->interaction[l].lin2);
        check_dense(&a->interaction[l].lin, &b->interaction[l].lin);
    }
    check_mlp(&a->output, &b->output);
}

static void check_prior(const struct frx_prior *a, const struct frx_prior *b) {
    CHECK(a->feature == b->feature && a->form == b->form && a->n_term == b->n_term && a->order == b->order &&
              a->n_param == b->n_param,
          "prior %s", a->name);
    CHECK(memcmp(a->atoms, b->atoms, (size_t)b->n_term * b->order * sizeof *a->atoms) == 0, "atoms of %s",
          a->name);
    CHECK(same(a->params, b->params, (size_t)b->n_term * b->n_param), "parameters of %s", a->name);
}

static void check_system(const struct frx_system *a, const struct frx_system *b) {
    const size_t n = (size_t)b->n_bead;
    CHECK(a->n_bead == b->n_bead && a->n_bond == b->n_bond && a->n_prior == b->n_prior, "counts");
    if (a->n_bead != b->n_bead || a->n_bond != b->n_bond || a->n_prior != b->n_prior) return;
    CHECK(memcmp(a->beads.type, b->beads.type, n * sizeof *a->beads.type) == 0, "types");
    CHECK(memcmp(a->beads.residue_index, b->beads.residue_index, n * sizeof(int32_t)) == 0,
          "residue indices");
    CHECK(same(a->beads.mass, b->beads.mass, n), "masses");
    for (size_t i = 0; i < n; i++)
        CHECK(strcmp(a->beads.name[i], b->beads.name[i]) == 0 &&
                  strcmp(a->beads.residue_name[i], b->beads.residue_name[i]) == 0 &&
                  strcmp(a->beads.chain[i], b->beads.chain[i]) == 0,
              "names of bead %zu: \"%s\" \"%s\" \"%s\"", i, a->beads.name[i], a->beads.residue_name[i],
              a->beads.chain[i]);
    CHECK(memcmp(a->bonds, b->bonds, 2 * (size_t)b->n_bond * sizeof *a->bonds) == 0, "bonds");
    CHECK(a->n_structure == b->n_structure, "%d structures", a->n_structure);
    CHECK(same(a->structures, b->structures, 3 * n * (size_t)b->n_structure), "structures");
    CHECK(!a->network == !b->network, "a network on one side only");
    if (a->network && b->network) check_network(a->network, b->network);
    for (int p = 0; p < a->n_prior; p++) { /* the reader sorts by name */
        if (p > 0) CHECK(strcmp(a->prior[p - 1].name, a->prior[p].name) < 0, "order of priors");
        int q = 0;
        while (q < b->n_prior && strcmp(a->prior[p].name, b->prior[q].name) != 0) q++;
        CHECK(q < b->n_prior, "prior %s", a->prior[p].name);
        if (q < b->n_prior) check_prior(&a->prior[p], &b->prior[q]);
    }
    CHECK(!a->known_answer == !b->known_answer, "a known answer on one side only");
    if (!a->known_answer || !b->known_answer) return;
    CHECK(same(a->known_answer->positions, b->known_answer->positions, 3 * n), "known positions");
    CHECK(same(a->known_answer->forces, b->known_answer->forces, 3 * n), "known forces");
    CHECK(a->known_answer->energy == b->known_answer->energy, "known energy");
    for (int p = 0; p < frx_system_n_part(a); p++)
        for (int q = 0; q < frx_system_n_part(b); q++)
            if (strcmp(frx_system_part_name(a, p), frx_system_part_name(b, q)) == 0)
                CHECK(a->known_answer->part[p] == b->known_answer->part[q], "part %s",
                      frx_system_part_name(a, p));
}

/* What make_system.h leaves out: bonds, a second structure, a known answer (any numbers do). */
static void complete(struct frx_system *system) {
    const size_t n = (size_t)system->n_bead;
    system->n_bond = system->n_bead - 1;
    free(system->bonds);
    system->bonds = calloc(2 * n, sizeof *system->bonds);
    for (int b = 0; b < system->n_bond; b++) system->bonds[2 * b] = b, system->bonds[2 * b + 1] = b + 1;
    system->n_structure = 2;
    system->structures = realloc(system->structures, 6 * n * sizeof(double));
    for (size_t i = 0; i < 3 * n; i++) system->structures[3 * n + i] = 1.25 * system->structures[i];
    struct frx_known_answer *answer = system->known_answer = calloc(1, sizeof *answer);
    answer->positions = calloc(3 * n + 1, sizeof(double));
    answer->forces = calloc(3 * n + 1, sizeof(double));
    answer->part = calloc((size_t)frx_system_n_part(system) + 1, sizeof(double));
    for (uint32_t i = 0; i < 3 * n; i++) {
        answer->positions[i] = frx_test_normal(7, i);
        answer->forces[i] = frx_test_normal(8, i);
    }
    for (int p = 0; p < frx_system_n_part(system); p++) answer->energy += answer->part[p] = p - 0.5;
}

static void check_round_trip(const struct frx_test_model *model) {
    struct frx_system written, found;
    frx_test_system_make(model, &written);
    complete(&written);
    frx_test_system_write(PATH, &written);
    CHECK_OK(frx_system_read(PATH, &found));
    check_system(&found, &written);
    char sha256[FRX_SHA256_TEXT];
    CHECK_OK(frx_sha256_file(PATH, sha256));
    CHECK(strcmp(found.content_sha256, sha256) == 0, "%s", found.content_sha256);
    frx_system_clear(&found);
    frx_system_clear(&written);
}

/* ---- other storage for the same numbers ---- */

static void replace(hid_t file, const char *name) {
    CHECK(H5Ldelete(file, name, H5P_DEFAULT) >= 0, "%s", name);
}

static void write_fixed_names(hid_t file, const char *name, size_t n, size_t size, H5T_str_t padding,
                              const char *text) {
    const hsize_t shape = n;
    const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &shape, NULL);
    H5Tset_size(type, size);
    H5Tset_strpad(type, padding);
    char *values = malloc(n * size);
    memset(values, padding == H5T_STR_SPACEPAD ? ' ' : 0, n * size);
    for (size_t i = 0; i < n; i++) memcpy(values + i * size, text, strlen(text));
    replace(file, name);
    const hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0, "%s", name);
    free(values);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Tclose(type);
}

/* Chunked, compressed, big-endian, of another width: what h5py users produce. */
static void write_otherwise(hid_t file, const char *name, hid_t memory_type, hid_t file_type, int rank,
                            const hsize_t *shape, const void *values) {
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(rank, shape, NULL);
    H5Pset_chunk(properties, rank, shape);
    H5Pset_deflate(properties, 6);
    replace(file, name);
    const hid_t dataset = H5Dcreate2(file, name, file_type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    CHECK(H5Dwrite(dataset, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0, "%s", name);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Pclose(properties);
}

static void check_other_storage(void) {
    struct frx_test_model model = frx_test_model_default();
    struct frx_system written, found;
    frx_test_system_make(&model, &written);
    complete(&written);
    const size_t n = (size_t)written.n_bead;
    for (size_t i = 0; i < 6 * n; i++) written.structures[i] = (float)written.structures[i];
    frx_test_system_write(PATH, &written);
    const hid_t file = H5Fopen(PATH, H5F_ACC_RDWR, H5P_DEFAULT);
    const hsize_t structures[3] = {2, n, 3};
    write_fixed_names(file, "beads/name", n, 2, H5T_STR_NULLPAD,
                      "CA"); /* as long as the field: no terminator */
    write_fixed_names(file, "beads/residue_name", n, 8, H5T_STR_SPACEPAD, "ALA");
    write_fixed_names(file, "beads/chain", n, 4, H5T_STR_NULLTERM, "A");
    write_otherwise(file, "beads/type", H5T_NATIVE_INT32, H5T_STD_U16BE, 1, structures + 1,
                    written.beads.type);
    write_otherwise(file, "beads/residue_index", H5T_NATIVE_INT32, H5T_STD_I64BE, 1, structures + 1,
                    written.beads.residue_index);
    write_otherwise(file, "structures/positions", H5T_NATIVE_DOUBLE, H5T_IEEE_F32BE, 3, structures,
                    written.structures);
    const int one = 1; /* a real attribute stored as an integer, a version of one byte and one element */
    const int8_t version = 1;
    H5Adelete_by_name(file, "network", "scale", H5P_DEFAULT);
    const hid_t network = H5Gopen2(file, "network", H5P_DEFAULT);
    CHECK_OK(frx_hdf5_put_numbers(network, "scale", H5T_NATIVE_INT, 0, &one));
    H5Gclose(network);
    H5Adelete(file, "version");
    CHECK_OK(frx_hdf5_put_numbers(file, "version", H5T_NATIVE_INT8, 1, &version));
    H5Fclose(file);
    CHECK_OK(frx_system_read(PATH, &found));
    check_system(&found, &written);
    frx_system_clear(&found);
    frx_system_clear(&written);
}

int main(void) {
    struct frx_test_model model = frx_test_model_default();
    check_round_trip(&model);
    model.bias = 1;
    model.transform = FRX_BASIS_LINEAR;
    model.envelope = (struct frx_envelope){FRX_ENVELOPE_SHIFTED_COSINE, 8, 10};
    model.basis_envelope = (struct frx_envelope){FRX_ENVELOPE_IDENTITY, 0, 10};
    model.n_interaction = 12; /* names of two digits */
    model.n_filter_layer = model.n_output_layer = 3;
    model.n_bead = 6;
    check_round_trip(&model);
    model.n_hidden = 0;
    model.priors = FRX_TEST_PRIORS_HARMONIC;
    check_round_trip(&model);
    check_other_storage();
    remove(PATH);
    return frx_check_result();
}
