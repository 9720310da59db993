#include "hdf5_edits.h"

#include "hdf5_util.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MEMBER 512
#define MAX_EDIT   16
#define MAX_DATA   4096 /* bytes written into a new dataset */

static unsigned char *good;
static size_t n_good;

struct member {
    char path[160], attribute[64]; /* attribute "": the member itself */
};
static struct member members[MAX_MEMBER];
static unsigned n_member;

/* ---- the good file ---- */

static void add_member(const char *path, const char *attribute) {
    if (n_member == MAX_MEMBER) return;
    snprintf(members[n_member].path, sizeof members->path, "%s", path);
    snprintf(members[n_member].attribute, sizeof members->attribute, "%s", attribute);
    n_member++;
}

static herr_t list_attribute(hid_t object, const char *name, const H5A_info_t *info, void *path) {
    (void)object, (void)info;
    add_member(path, name);
    return 0;
}

static herr_t list_member(hid_t file, const char *name, const H5O_info_t *info, void *data) {
    (void)info, (void)data;
    add_member(name, "");
    const hid_t object = H5Oopen(file, name, H5P_DEFAULT);
    H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, NULL, list_attribute, (void *)name);
    H5Oclose(object);
    return 0;
}

void frx_edits_start(const char *path) {
    FILE *stream = fopen(path, "rb");
    good = malloc(1 << 20);
    n_good = stream && good ? fread(good, 1, 1 << 20, stream) : 0;
    frx_fuzz_require(n_good > 0 && fclose(stream) == 0, "a file to start from");
    frx_hdf5_quiet();
    const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_INC, list_member, NULL, H5O_INFO_BASIC);
    H5Fclose(file);
    frx_fuzz_require(n_member > 1, "a file with members");
}

/* ---- things to draw ---- */

static const struct member *any_member(struct frx_fuzz_input *input) {
    return &members[frx_fuzz_take(input, 2) % n_member];
}

static double any_number(struct frx_fuzz_input *input) {
    static const double numbers[] = {0,         -0.0,  1,      -1,         NAN,          INFINITY,
                                     -INFINITY, 1e300, -1e300, 1e-300,     DBL_MAX,      DBL_MIN,
                                     255,       256,   65536,  2147483647, -2147483648., 2147483648.,
                                     9.3e18,    1e6,   -1e6,   1e9,        0.5,          3.14159};
    const unsigned n = sizeof numbers / sizeof *numbers, k = frx_fuzz_below(input, n + 4);
    if (k < n) return numbers[k];
    const uint64_t bits = frx_fuzz_take(input, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static hsize_t any_size(struct frx_fuzz_input *input) {
    static const hsize_t sizes[] = {0,
                                    1,
                                    2,
                                    3,
                                    4,
                                    7,
                                    8,
                                    9,
                                    63,
                                    64,
                                    65,
                                    1000,
                                    100000,
                                    1 << 27,
                                    (1 << 27) + 1,
                                    (hsize_t)1 << 31,
                                    ((hsize_t)1 << 31) - 1,
                                    (hsize_t)1 << 32,
                                    (hsize_t)1 << 40,
                                    (hsize_t)1 << 62};
    const unsigned n = sizeof sizes / sizeof *sizes, k = frx_fuzz_below(input, n + 8);
    return k < n ? sizes[k] : frx_fuzz_take(input, 1);
}

/* A type; the caller closes it. */
static hid_t any_type(struct frx_fuzz_input *input) {
    const hid_t plain[] = {H5T_NATIVE_DOUBLE, H5T_NATIVE_FLOAT,  H5T_NATIVE_INT8,    H5T_NATIVE_INT32,
                           H5T_NATIVE_INT64,  H5T_NATIVE_UINT64, H5T_STD_I16BE,      H5T_IEEE_F64BE,
                           H5T_STD_B8LE,      H5T_STD_REF_OBJ,   H5T_NATIVE_LDOUBLE, H5T_UNIX_D32LE};
    const unsigned n = sizeof plain / sizeof *plain, k = frx_fuzz_below(input, n + 6);
    if (k < n) return H5Tcopy(plain[k]);
    hid_t type = H5I_INVALID_HID;
    const signed char no = 0;
    const hsize_t three = 3;
    switch (k - n) {
    case 0:
    case 1: /* text; the size is limited by MAX_DATA below */
        type = H5Tcopy(H5T_C_S1);
        H5Tset_size(type, k == n ? H5T_VARIABLE : (size_t)frx_fuzz_take(input, 2) + 1);
        H5Tset_strpad(type, (H5T_str_t)frx_fuzz_below(input, 3));
        return type;
    case 2:
        type = H5Tenum_create(H5T_NATIVE_INT8);
        H5Tenum_insert(type, "no", &no);
        return type;
    case 3:
        type = H5Tcreate(H5T_COMPOUND, 16);
        H5Tinsert(type, "x", 0, H5T_NATIVE_DOUBLE);
        return type;
    case 4:
        return H5Tarray_create2(H5T_NATIVE_DOUBLE, 1, &three);
    default:
        return H5Tvlen_create(H5T_NATIVE_INT);
    }
}

static hid_t any_space(struct frx_fuzz_input *input, int *rank, hsize_t dims[6]) {
    *rank = (int)frx_fuzz_below(input, 7) - 1;
    for (int d = 0; d < *rank; d++) dims[d] = any_size(input);
    if (*rank > 0) return H5Screate_simple(*rank, dims, NULL);
    return H5Screate(*rank == 0 ? H5S_SCALAR : H5S_NULL);
}

/* Bytes for a type and a space, zero where the input ends: pointers of variable-length types stay NULL, but
 * texts get one. NULL: too much to write. */
static void *any_values(struct frx_fuzz_input *input, hid_t type, hid_t space) {
    static char text[300];
    const hssize_t n = H5Sget_simple_extent_npoints(space);
    const size_t size = H5Tget_size(type);
    if (n < 0 || (hsize_t)n > MAX_DATA || size == 0 || size > 1 << 17 || (size_t)n * size > 16 * MAX_DATA)
        return NULL;
    unsigned char *bytes = calloc((size_t)n + 1, size);
    if (!bytes) return NULL;
    if (H5Tis_variable_str(type) > 0) {
        frx_fuzz_text(input, text, sizeof text);
        for (hssize_t i = 0; i < n; i++) ((char **)(void *)bytes)[i] = text;
    } else if (H5Tget_class(type) == H5T_FLOAT && size == sizeof(double)) {
        const double value = any_number(input);
        for (hssize_t i = 0; i < n; i++) ((double *)(void *)bytes)[i] = value;
    } else if (H5Tget_class(type) == H5T_INTEGER || H5Tget_class(type) == H5T_STRING) {
        frx_fuzz_text(input, text, sizeof text);
        const size_t length = strlen(text);
        for (size_t b = 0; length > 0 && b < (size_t)n * size; b++)
            bytes[b] = (unsigned char)text[b % length];
    }
    return bytes;
}

/* ---- edits ---- */

static void rename_member(hid_t file, struct frx_fuzz_input *input) {
    char name[160];
    const struct member *from = any_member(input);
    const unsigned kind = frx_fuzz_below(input, 6);
    if (frx_fuzz_below(input, 2))
        snprintf(name, sizeof name, "%s", any_member(input)->path);
    else
        frx_fuzz_text(input, name, sizeof name);
    if (!name[0]) return;
    if (kind < 2) H5Ldelete(file, name, H5P_DEFAULT);
    if (kind == 1 || kind == 2)
        H5Lcreate_hard(file, from->path, file, name, H5P_DEFAULT, H5P_DEFAULT); /* cycles too */
    else if (kind == 3)
        H5Lcreate_soft(from->path, file, name, H5P_DEFAULT, H5P_DEFAULT);
    else if (kind == 4)
        H5Lcreate_external("other.h5", from->path, file, name, H5P_DEFAULT, H5P_DEFAULT);
    else
        H5Lmove(file, from->path, file, name, H5P_DEFAULT, H5P_DEFAULT);
}

static void replace_dataset(hid_t file, struct frx_fuzz_input *input) {
    const char *path = any_member(input)->path;
    int rank;
    hsize_t dims[6], chunk[6];
    FRX_HID type = any_type(input);
    FRX_HID space = any_space(input, &rank, dims);
    FRX_HID properties = H5Pcreate(H5P_DATASET_CREATE);
    const unsigned layout = frx_fuzz_below(input, 6);
    for (int d = 0; d < rank; d++) chunk[d] = dims[d] == 0 ? 1 : dims[d] < 8 ? dims[d] : 8;
    if (layout >= 2 && rank > 0) H5Pset_chunk(properties, rank, chunk);
    if (layout == 1) H5Pset_layout(properties, H5D_COMPACT);
    if (layout == 3) H5Pset_deflate(properties, 1);
    if (layout == 4) H5Pset_fletcher32(properties);
    if (layout == 5) H5Pset_external(properties, "/etc/hostname", 0, H5F_UNLIMITED);
    H5Ldelete(file, path, H5P_DEFAULT);
    FRX_HID dataset = H5Dcreate2(file, path, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    void *values = any_values(input, type, space);
    if (values && dataset >= 0 && layout != 5) H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    free(values);
}

static void change_element(hid_t file, struct frx_fuzz_input *input) {
    FRX_HID dataset = H5Dopen2(file, any_member(input)->path, H5P_DEFAULT);
    const double value = any_number(input);
    hsize_t dims[H5S_MAX_RANK], start[H5S_MAX_RANK];
    if (dataset < 0) return;
    FRX_HID space = H5Dget_space(dataset), single = H5Screate(H5S_SCALAR), type = H5Dget_type(dataset);
    const int rank = H5Sget_simple_extent_dims(space, dims, NULL);
    FRX_HID properties = H5Dget_create_plist(dataset);
    if (H5Dget_storage_size(dataset) - 1 >= 1 << 16 || H5Pget_layout(properties) == H5D_CHUNKED)
        return; /* nothing or much is there: HDF5 would crash while writing, which is not what is tried here
                 */
    for (int d = 0; d < rank; d++) start[d] = dims[d] ? frx_fuzz_take(input, 2) % dims[d] : 0;
    if (rank > 0 && H5Sselect_elements(space, H5S_SELECT_SET, 1, start) < 0) return;
    if (H5Tget_class(type) == H5T_INTEGER || H5Tget_class(type) == H5T_FLOAT)
        H5Dwrite(dataset, H5T_NATIVE_DOUBLE, single, space, H5P_DEFAULT, &value);
}

static void change_attribute(hid_t file, struct frx_fuzz_input *input) {
    const struct member *member = any_member(input);
    char name[64];
    const unsigned kind = frx_fuzz_below(input, 4);
    FRX_HID object = H5Oopen(file, member->path, H5P_DEFAULT);
    if (object < 0) return;
    snprintf(name, sizeof name, "%s", member->attribute);
    if (kind == 0 || !name[0]) frx_fuzz_text(input, name, sizeof name);
    if (!name[0]) return;
    H5Adelete(object, name);
    if (kind == 1) return;
    int rank;
    hsize_t dims[6];
    FRX_HID type = any_type(input);
    FRX_HID space = kind == 2 ? H5Screate(H5S_SCALAR) : any_space(input, &rank, dims);
    void *values = any_values(input, type, space);
    FRX_HID attribute =
        values ? H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT) : H5I_INVALID_HID;
    if (values && attribute >= 0) H5Awrite(attribute, type, values);
    free(values);
}

static void change_text(hid_t file, struct frx_fuzz_input *input) {
    const struct member *member = any_member(input);
    char text[300], *pointer = text;
    frx_fuzz_text(input, text, sizeof text);
    if (!member->attribute[0]) return;
    FRX_HID object = H5Oopen(file, member->path, H5P_DEFAULT), type = H5Tcopy(H5T_C_S1),
            space = H5Screate(H5S_SCALAR);
    if (object < 0) return;
    H5Tset_size(type, H5T_VARIABLE);
    H5Adelete(object, member->attribute);
    FRX_HID attribute = H5Acreate2(object, member->attribute, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute >= 0) H5Awrite(attribute, type, &pointer);
}

static void edit(hid_t file, struct frx_fuzz_input *input) {
    const struct member *member;
    switch (frx_fuzz_below(input, 8)) {
    case 0:
        member = any_member(input);
        H5Ldelete(file, member->path, H5P_DEFAULT);
        break;
    case 1:
        rename_member(file, input);
        break;
    case 2:
    case 3:
        replace_dataset(file, input);
        break;
    case 4:
        change_attribute(file, input);
        break;
    case 5:
        change_text(file, input);
        break;
    default:
        change_element(file, input);
    }
    H5Eclear2(H5E_DEFAULT);
}

/* ---- the file ---- */

static hid_t open_image(void) {
    FRX_HID access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(access, 64 << 10, 0);
    H5Pset_file_image(access, good, n_good);
    return H5Fopen("image.h5", H5F_ACC_RDWR, access);
}

const char *frx_edits_apply(struct frx_fuzz_input *input, int *is_damaged) {
    const unsigned head = frx_fuzz_below(input, 256), n_edit = head % MAX_EDIT;
    const unsigned n_turn = head / MAX_EDIT == 6 ? 1 + frx_fuzz_below(input, 8) : 0; /* rare: it takes time */
    const hid_t file = open_image();
    for (unsigned e = 0; e < n_edit && input->n_byte > 0; e++) edit(file, input);
    H5Fflush(file, H5F_SCOPE_GLOBAL);
    const ssize_t n = H5Fget_file_image(file, NULL, 0);
    unsigned char *bytes = malloc(n > 0 ? (size_t)n : 1);
    frx_fuzz_require(bytes != NULL, "memory");
    if (n > 0) H5Fget_file_image(file, bytes, (size_t)n);
    H5Fclose(file);
    for (unsigned t = 0; t < n_turn && n > 0; t++) {
        unsigned char *byte = &bytes[frx_fuzz_take(input, 3) % (size_t)n];
        *byte = (unsigned char)frx_fuzz_take(input, 1);
    }
    *is_damaged = n_turn > 0;
    const char *path = frx_fuzz_file("fuzz.h5", bytes, n > 0 ? (size_t)n : 0);
    free(bytes);
    return path;
}
