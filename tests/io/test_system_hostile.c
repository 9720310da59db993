/* A system file that is not what it should be gives an error that names the file and the member, whatever is
 * wrong: members and attributes missing, unknown, of another type, rank or size, huge, linked elsewhere;
 * numbers that make no sense; and a file cut at any length. Each case starts from the same good file. */
#include "check.h"
#include "hdf5_write.h"
#include "make_system.h"
#include "system_file.h"
#include "write_system.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH "test_system_hostile.h5"

/* ---- the good file ---- */

static unsigned char *good_bytes;
static long n_good_byte;

static void write_bytes(long n) {
    unlink(PATH); /* a truncated file would be synced to the disk by some file systems */
    FILE *file = fopen(PATH, "wb");
    fwrite(good_bytes, 1, (size_t)n, file);
    fclose(file);
}

/* The good file, open for damage. */
static hid_t open_good(void) {
    write_bytes(n_good_byte);
    return H5Fopen(PATH, H5F_ACC_RDWR, H5P_DEFAULT);
}

static void make_good(void) {
    struct frx_system system;
    frx_test_system_write_small(PATH);
    CHECK_OK(frx_system_read(PATH, &system));
    frx_system_clear(&system);
    FILE *file = fopen(PATH, "rb");
    fseek(file, 0, SEEK_END);
    n_good_byte = ftell(file);
    rewind(file);
    good_bytes = malloc((size_t)n_good_byte);
    CHECK(fread(good_bytes, 1, (size_t)n_good_byte, file) == (size_t)n_good_byte, "reading %s", PATH);
    fclose(file);
}

/* Reading fails with this status, and the message names the file and says `words`. */
static void check_refused_as(enum frx_status expected, const char *words) {
    struct frx_system system;
    const enum frx_status status = frx_system_read(PATH, &system);
    CHECK(status == expected, "%s for \"%s\": %s", frx_status_name(status), words, frx_error_message());
    if (status == FRX_OK) frx_system_clear(&system);
    CHECK(strstr(frx_error_message(), words) && strstr(frx_error_message(), PATH) &&
              !strchr(frx_error_message(), '\n'),
          "message \"%s\" should say \"%s\"", frx_error_message(), words);
    CHECK(system.n_bead == 0 && !system.network && !system.prior, "the result is zeroed");
}

static void check_refused(const char *words) {
    check_refused_as(FRX_ERR_FORMAT, words);
}

/* ---- lists of everything in the file ---- */

struct member {
    char path[128], attribute[64]; /* attribute "": the member itself */
    H5I_type_t type;
};
static struct member members[512];
static int n_member;

static herr_t list_attribute(hid_t object, const char *name, const H5A_info_t *info, void *path) {
    (void)object, (void)info;
    snprintf(members[n_member].path, sizeof members->path, "%s", (const char *)path);
    snprintf(members[n_member].attribute, sizeof members->attribute, "%s", name);
    members[n_member++].type = H5I_ATTR;
    return 0;
}

static herr_t list_member(hid_t file, const char *name, const H5O_info_t *info, void *data) {
    (void)data;
    if (strcmp(name, ".") != 0) {
        snprintf(members[n_member].path, sizeof members->path, "%s", name);
        members[n_member++].type = info->type == H5O_TYPE_GROUP ? H5I_GROUP : H5I_DATASET;
    }
    const hid_t object = H5Oopen(file, name, H5P_DEFAULT);
    H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, NULL, list_attribute, (void *)name);
    H5Oclose(object);
    return 0;
}

static void list_all(void) {
    const hid_t file = open_good();
    H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_INC, list_member, NULL, H5O_INFO_BASIC);
    H5Fclose(file);
    CHECK(n_member > 100 && n_member < 500, "%d members and attributes", n_member);
}

static int ends_with(const char *text, const char *end) {
    return strlen(text) >= strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

/* ---- damages to one dataset ---- */

enum damage {
    AS_STRINGS,
    MORE_RANK,
    OTHER_SIZE,
    HUGE_SIZE,
    NEVER_WRITTEN,
    AS_LINK,
    AS_GROUP,
    EXTERNAL,
    N_DAMAGE
};

static void recreate(hid_t file, const char *path, hid_t type, int rank, const hsize_t *dims,
                     hid_t properties) {
    const hid_t space = H5Screate_simple(rank, dims, NULL);
    const hid_t dataset = H5Dcreate2(file, path, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    CHECK(dataset >= 0, "damaged %s", path);
    H5Dclose(dataset);
    H5Sclose(space);
}

static void damage_dataset(hid_t file, const char *path, enum damage damage) {
    hsize_t dims[4] = {1, 1, 1, 1}, chunk[4] = {1, 1, 1, 1};
    const hid_t old = H5Dopen2(file, path, H5P_DEFAULT), space = H5Dget_space(old), type = H5Dget_type(old);
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE), text = frx_hdf5_string_type();
    const int rank = H5Sget_simple_extent_dims(space, dims, NULL);
    const int is_text = H5Tget_class(type) == H5T_STRING;
    H5Dclose(old);
    H5Ldelete(file, path, H5P_DEFAULT);
    if (damage != AS_STRINGS && damage != EXTERNAL)
        H5Pset_chunk(properties, rank + (damage == MORE_RANK), chunk);
    switch (damage) {
    case AS_STRINGS:
        recreate(file, path, is_text ? H5T_NATIVE_INT : text, rank, dims, properties);
        break;
    case MORE_RANK:
        recreate(file, path, type, rank + 1, dims, properties);
        break;
    case OTHER_SIZE:
        dims[rank - 1] += 5, recreate(file, path, type, rank, dims, properties);
        break;
    case HUGE_SIZE:
        for (int d = 0; d < rank; d++) dims[d] = d == 0 ? (hsize_t)1 << 40 : dims[d];
        recreate(file, path, type, rank, dims, properties);
        break;
    case NEVER_WRITTEN:
        recreate(file, path, type, rank, dims, properties);
        break;
    case AS_LINK:
        H5Lcreate_external("other.h5", "x", file, path, H5P_DEFAULT, H5P_DEFAULT);
        break;
    case AS_GROUP:
        H5Gclose(H5Gcreate2(file, path, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
        break;
    default: /* bytes of some other file */
        H5Pset_external(properties, "/etc/hostname", 0, H5F_UNLIMITED);
        recreate(file, path, is_text ? H5T_NATIVE_INT : type, rank, dims, properties);
    }
    H5Tclose(text);
    H5Tclose(type);
    H5Sclose(space);
    H5Pclose(properties);
}

static void check_members(void) {
    for (int m = 0; m < n_member; m++) {
        const struct member *member = &members[m];
        if (member->type == H5I_ATTR) continue;
        const hid_t file = open_good();
        H5Ldelete(file, member->path, H5P_DEFAULT);
        H5Fclose(file);
        if (ends_with(member->path, "/bias") || strcmp(member->path, "known_answer") == 0) {
            struct frx_system system; /* may be absent */
            CHECK_OK(frx_system_read(PATH, &system));
            frx_system_clear(&system);
        } else if (strcmp(member->path, "network") == 0 || strcmp(member->path, "priors") == 0 ||
                   (member->type == H5I_GROUP && strncmp(member->path, "priors/", 7) == 0)) {
            check_refused(
                "/known_answer/parts has"); /* may be absent, but then the known answer is too much */
        } else if (member->type == H5I_GROUP && ends_with(member->path, "_1")) {
            continue; /* the last interaction or layer: without it, it is another network */
        } else {
            char words[160];
            snprintf(words, sizeof words, "/%s is missing", member->path);
            check_refused(words);
        }
    }
}

static void check_datasets(void) {
    for (int m = 0; m < n_member; m++) {
        if (members[m].type != H5I_DATASET) continue;
        for (int damage = 0; damage < N_DAMAGE; damage++) {
            const hid_t file = open_good();
            damage_dataset(file, members[m].path, (enum damage)damage);
            H5Fclose(file);
            check_refused(members[m].path);
        }
    }
}

static void check_attributes(void) {
    const double number = 1;
    for (int m = 0; m < n_member; m++) {
        const struct member *member = &members[m];
        if (member->type != H5I_ATTR) continue;
        for (int present = 0; present < 3; present++) { /* absent, of another type, not a scalar */
            const hid_t file = open_good(), object = H5Oopen(file, member->path, H5P_DEFAULT);
            const hid_t attribute = H5Aopen(object, member->attribute, H5P_DEFAULT),
                        type = H5Aget_type(attribute);
            const double numbers[2] = {1, 1};
            H5Aclose(attribute);
            H5Adelete(object, member->attribute);
            if (present == 1 && H5Tget_class(type) == H5T_STRING)
                CHECK_OK(frx_hdf5_put_numbers(object, member->attribute, H5T_NATIVE_DOUBLE, 0, &number));
            else if (present == 1)
                CHECK_OK(frx_hdf5_put_string(object, member->attribute, "1"));
            else if (present == 2)
                CHECK_OK(frx_hdf5_put_numbers(object, member->attribute, H5T_NATIVE_DOUBLE, 2, numbers));
            H5Tclose(type);
            H5Oclose(object);
            H5Fclose(file);
            const int is_format = strcmp(member->attribute, "flashrex_format") == 0;
            check_refused(is_format && !present ? "not one of flashrex" : member->attribute);
        }
    }
}

/* ---- single cases ---- */

static void check_unknown(void) {
    static const char *const groups[] = {
        "network",          "network/basis",         "network/basis/envelope",
        "network/envelope", "network/interaction_0", "network/interaction_1/filter_1",
        "network/output_0", "priors/bonds"};
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        char path[96], words[128];
        hid_t file = open_good();
        snprintf(path, sizeof path, "%s/surprise", groups[g]);
        snprintf(words, sizeof words, "/%s is not known", path);
        H5Gclose(H5Gcreate2(file, path, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
        H5Fclose(file);
        check_refused(words);
        file = open_good();
        const hid_t group = H5Gopen2(file, groups[g], H5P_DEFAULT);
        CHECK_OK(frx_hdf5_put_int(group, "twist", 3));
        H5Gclose(group);
        H5Fclose(file);
        check_refused("attribute twist is not known");
    }
    static const char *const renamed[][2] = {
        /* gaps and other spellings of numbers */
        {"network/interaction_1", "network/interaction_2"},
        {"network/interaction_1", "network/interaction_01"},
        {"network/output_1", "network/output_-1"},
        {"network/interaction_0/filter_1", "network/interaction_0/filter_1x"}};
    for (size_t k = 0; k < sizeof renamed / sizeof *renamed; k++) {
        const hid_t file = open_good();
        CHECK(H5Lmove(file, renamed[k][0], file, renamed[k][1], H5P_DEFAULT, H5P_DEFAULT) >= 0, "%s",
              renamed[k][0]);
        H5Fclose(file);
        check_refused(renamed[k][1]);
    }
}

/* Overwrite the first value of a dataset. */
static void set_first(const char *path, hid_t type, const void *value) {
    const hid_t file = open_good(), dataset = H5Dopen2(file, path, H5P_DEFAULT),
                space = H5Dget_space(dataset);
    const hsize_t zero[3] = {0}, one[3] = {1, 1, 1};
    const hid_t single = H5Screate_simple(1, one, NULL);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, zero, NULL, one, NULL);
    CHECK(H5Dwrite(dataset, type, single, space, H5P_DEFAULT, value) >= 0, "%s", path);
    H5Sclose(single);
    H5Sclose(space);
    H5Dclose(dataset);
    H5Fclose(file);
}

static void put_attribute(const char *path, const char *name, const char *text, int64_t number) {
    const hid_t file = open_good(), object = H5Oopen(file, path, H5P_DEFAULT);
    H5Adelete(object, name);
    if (text)
        CHECK_OK(frx_hdf5_put_string(object, name, text));
    else
        CHECK_OK(frx_hdf5_put_int(object, name, number));
    H5Oclose(object);
    H5Fclose(file);
}

static void check_values(void) {
    const double nan = NAN, infinite = INFINITY, far = -2e6;
    const int type = 5, atom = 8;
    set_first("network/embedding", H5T_NATIVE_DOUBLE, &nan);
    check_refused_as(FRX_ERR_MODEL, "embedding has nan");
    set_first("network/interaction_1/lin2/bias", H5T_NATIVE_DOUBLE, &infinite);
    check_refused_as(FRX_ERR_MODEL, "has inf");
    set_first("beads/type", H5T_NATIVE_INT, &type);
    check_refused_as(FRX_ERR_MODEL, "bead 0 has type 5");
    set_first("priors/bonds/atoms", H5T_NATIVE_INT, &atom);
    check_refused_as(FRX_ERR_MODEL, "bonds, term 0 names bead 8 of 8");
    set_first("structures/positions", H5T_NATIVE_DOUBLE, &nan);
    check_refused_as(FRX_ERR_MODEL, "bead 0 has coordinate nan");
    set_first("structures/positions", H5T_NATIVE_DOUBLE, &far);
    check_refused_as(FRX_ERR_MODEL, "bead 0 has coordinate -2e+06");
    set_first("beads/mass", H5T_NATIVE_DOUBLE, (const double[]){0});
    check_refused_as(FRX_ERR_MODEL, "bead 0 has mass 0");
    put_attribute("/", "version", NULL, 2);
    check_refused("has version 2, this flashrex reads version 1");
    put_attribute("/", "flashrex_format", "frames", 0);
    check_refused("not a system file");
    put_attribute("network", "activation", "relu", 0);
    check_refused("activation is \"relu\", expected one of tanh");
    put_attribute("network/envelope", "kind", "square", 0);
    check_refused("kind is \"square\", expected one of identity, cosine, shifted_cosine");
    put_attribute("priors/angles", "form", "cubic", 0);
    check_refused("form is \"cubic\"");
    put_attribute("priors/angles", "feature", "torsion", 0);
    check_refused("/priors/angles/atoms has shape");
}

/* An envelope that falls from 1 to 0 in no time has no slope to take forces from. */
static void check_step_envelope(void) {
    const hid_t file = open_good(), group = H5Gopen2(file, "network/envelope", H5P_DEFAULT);
    H5Adelete(group, "kind"), H5Adelete(group, "r_lo"), H5Adelete(group, "r_hi");
    CHECK_OK(frx_hdf5_put_string(group, "kind", "shifted_cosine"));
    CHECK_OK(frx_hdf5_put_int(group, "r_lo", 9));
    CHECK_OK(frx_hdf5_put_int(group, "r_hi", 9));
    H5Gclose(group);
    H5Fclose(file);
    check_refused_as(FRX_ERR_MODEL, "filter envelope reaches from 9 to 9 A");
}

static void replace_dataset(const char *path, hid_t type, int rank, const hsize_t *shape,
                            const void *values) {
    const hid_t file = open_good();
    char parent[64];
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
    H5Ldelete(file, path, H5P_DEFAULT);
    const hid_t group = H5Gopen2(file, parent, H5P_DEFAULT);
    CHECK_OK(frx_hdf5_write_array(group, strrchr(path, '/') + 1, type, rank, shape, values));
    H5Gclose(group);
    H5Fclose(file);
}

static void check_ranges(void) {
    const hsize_t eight = 8;
    const int64_t wide[8] = {1, 2, 3, 4, INT64_C(1) << 31, 6, 7, 8};
    const uint64_t widest[8] = {UINT64_MAX};
    char longer[80];
    memset(longer, 'x', 79);
    longer[79] = '\0';
    const char *names[8] = {"CA", "CA", longer, "CA", "CA", "CA", "CA", "CA"};
    const hid_t text = frx_hdf5_string_type();
    replace_dataset("beads/residue_index", H5T_NATIVE_INT64, 1, &eight, wide);
    check_refused("/beads/residue_index has 2147483648 at element 4, beyond 32 bits");
    replace_dataset("beads/type", H5T_NATIVE_UINT64, 1, &eight, widest);
    check_refused("/beads/type has 9223372036854775807 at element 0, beyond 32 bits");
    replace_dataset("beads/name", text, 1, &eight, names);
    check_refused("/beads/name: element 2 has 79 bytes, at most 63 are allowed");
    names[2] = "C\nA";
    replace_dataset("beads/name", text, 1, &eight, names);
    check_refused("/beads/name: element 2 holds the control character 10");
    H5Tclose(text);
}

/* A dataset that may grow may lie in chunks larger than itself, which HDF5 reads as a whole. */
static void check_huge_chunk(void) {
    const hsize_t dims[3] = {1, 8, 3}, most[3] = {H5S_UNLIMITED, 8, 3}, chunk[3] = {1 << 28, 1, 1};
    const hid_t file = open_good(), space = H5Screate_simple(3, dims, most),
                properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(properties, 3, chunk);
    H5Ldelete(file, "structures/positions", H5P_DEFAULT);
    const hid_t dataset = H5Dcreate2(file, "structures/positions", H5T_NATIVE_DOUBLE, space, H5P_DEFAULT,
                                     properties, H5P_DEFAULT);
    CHECK(dataset >= 0, "a dataset in huge chunks");
    H5Dclose(dataset);
    H5Pclose(properties);
    H5Sclose(space);
    H5Fclose(file);
    check_refused("/structures/positions is stored in chunks of 268435456 elements");
}

/* Names of priors are printed, and name the parts of the energy together with the network's. */
static void check_prior_names(void) {
    static const struct {
        const char *name, *words;
        enum frx_status status;
    } cases[] = {{"\33[31mbonds", "/priors: a name holds the control character 27", FRX_ERR_FORMAT},
                 {"SchNet", "two parts of the energy are called SchNet", FRX_ERR_MODEL}};
    for (int c = 0; c < 2; c++) {
        const hid_t file = open_good(), priors = H5Gopen2(file, "priors", H5P_DEFAULT);
        CHECK(H5Lmove(priors, "bonds", priors, cases[c].name, H5P_DEFAULT, H5P_DEFAULT) >= 0, "renaming");
        H5Gclose(priors);
        H5Ldelete(file, "known_answer", H5P_DEFAULT); /* its parts have the old names */
        H5Fclose(file);
        check_refused_as(cases[c].status, cases[c].words);
    }
}

static void check_not_hdf5(void) {
    struct frx_system system;
    CHECK_FAILS(frx_system_read("no_such_file.h5", &system), FRX_ERR_IO,
                "cannot open no_such_file.h5: No such file");
    CHECK_FAILS(frx_system_read("/", &system), FRX_ERR_IO, "cannot open /: it is a directory");
    CHECK_FAILS(frx_system_read("/dev/null", &system), FRX_ERR_IO, "not a regular file");
    unlink(PATH);
    CHECK(mkfifo(PATH, 0600) == 0, "a pipe");
    check_refused_as(FRX_ERR_IO, "not a regular file"); /* and does not wait for it */
    unlink(PATH);
    FILE *file = fopen(PATH, "w");
    fputs("this is a text file\n", file);
    fclose(file);
    check_refused("is not an HDF5 file");
}

/* Shorter and shorter; each without the guard, so that a crash would end this program, some with it. */
static void check_truncations(void) {
    struct frx_system system;
    write_bytes(n_good_byte);
    for (long n = n_good_byte - 1; n >= 0; n--) {
        CHECK(truncate(PATH, n) == 0, "cutting to %ld", n);
        if (n % 256 == 0)
            check_refused(n == 0 ? "is empty" : "");
        else
            CHECK_FAILS(frx_system_read_unguarded(PATH, &system), FRX_ERR_FORMAT, PATH);
    }
}

/* Bytes changed at random: the file is read or refused. Without the guard HDF5 crashes on some of them, which
 * is what the guard is for; which ones depends on its version. */
static void check_changed_bytes(void) {
    unsigned state = 1;
    int n_crash = 0;
    for (int k = 0; k < 300; k++) {
        state = state * 1664525u + 1013904223u;
        unsigned char *byte = &good_bytes[(state >> 8) % (unsigned)n_good_byte], before = *byte;
        *byte ^= (unsigned char)(1 + (state & 127));
        write_bytes(n_good_byte);
        *byte = before;
        struct frx_system system;
        const enum frx_status status = frx_system_read(PATH, &system);
        CHECK(status == FRX_OK || strstr(frx_error_message(), PATH), "%s", frx_error_message());
        n_crash += status != FRX_OK && strstr(frx_error_message(), "crashes");
        frx_system_clear(&system);
    }
    printf("HDF5 crashed on %d of 300 changed bytes\n", n_crash);
}

int main(void) {
    make_good();
    list_all();
    check_members();
    check_datasets();
    check_attributes();
    check_unknown();
    check_values();
    check_step_envelope();
    check_ranges();
    check_huge_chunk();
    check_prior_names();
    check_truncations();
    check_changed_bytes();
    check_not_hdf5();
    remove(PATH);
    free(good_bytes);
    return frx_check_result();
}
