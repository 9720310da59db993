#include "hdf5_read.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What has no place in a name: it is printed on terminals. */
static int is_control(char c) {
    return (unsigned char)c < 32 || c == 127;
}

/* ---- members ---- */

int frx_hdf5_has(hid_t group, const char *name) {
    return H5Lexists(group, name, H5P_DEFAULT) > 0;
}

static enum frx_status open_member(hid_t parent, const char *name, H5I_type_t type, const char *type_name,
                                   hid_t *object) {
    char place[FRX_PLACE_SIZE];
    frx_hdf5_place(parent, name, place);
    const htri_t exists = H5Lexists(parent, name, H5P_DEFAULT);
    FRX_HDF5_TRY(exists, FRX_ERR_FORMAT, "%s cannot be read", place);
    if (!exists) return FRX_FAIL(FRX_ERR_FORMAT, "%s is missing", place);
    H5L_info_t link;
    FRX_HDF5_TRY(H5Lget_info(parent, name, &link, H5P_DEFAULT), FRX_ERR_FORMAT, "%s cannot be read", place);
    if (link.type != H5L_TYPE_HARD)
        return FRX_FAIL(FRX_ERR_FORMAT, "%s is a link, expected a %s", place, type_name);
    *object = H5Oopen(parent, name, H5P_DEFAULT);
    FRX_HDF5_TRY(*object, FRX_ERR_FORMAT, "%s cannot be read", place);
    if (H5Iget_type(*object) == type) return FRX_OK;
    frx_hdf5_release(object);
    *object = H5I_INVALID_HID;
    return FRX_FAIL(FRX_ERR_FORMAT, "%s is not a %s", place, type_name);
}

enum frx_status frx_hdf5_open_group(hid_t parent, const char *name, hid_t *group) {
    return open_member(parent, name, H5I_GROUP, "group", group);
}

enum frx_status frx_hdf5_open_dataset(hid_t parent, const char *name, hid_t *dataset) {
    return open_member(parent, name, H5I_DATASET, "dataset", dataset);
}

enum frx_status frx_hdf5_count_members(hid_t group, int *n) {
    char place[FRX_PLACE_SIZE];
    frx_hdf5_place(group, NULL, place);
    H5G_info_t info;
    FRX_HDF5_TRY(H5Gget_info(group, &info), FRX_ERR_FORMAT, "%s cannot be read", place);
    if (info.nlinks > 10000)
        return FRX_FAIL(FRX_ERR_FORMAT, "%s has %llu members", place, (unsigned long long)info.nlinks);
    *n = (int)info.nlinks;
    return FRX_OK;
}

enum frx_status frx_hdf5_member_name(hid_t group, int i, char name[FRX_NAME_SIZE]) {
    char place[FRX_PLACE_SIZE];
    frx_hdf5_place(group, NULL, place);
    const ssize_t length = H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, (hsize_t)i, name,
                                              FRX_NAME_SIZE, H5P_DEFAULT);
    FRX_HDF5_TRY(length, FRX_ERR_FORMAT, "%s cannot be listed", place);
    if (length >= FRX_NAME_SIZE)
        return FRX_FAIL(FRX_ERR_FORMAT, "%s: the name %s.. has %zd bytes, at most %d are allowed", place,
                        name, length, FRX_NAME_SIZE - 1);
    for (const char *c = name; *c; c++)
        if (is_control(*c))
            return FRX_FAIL(FRX_ERR_FORMAT, "%s: a name holds the control character %d", place, *c);
    return FRX_OK;
}

int frx_hdf5_count_numbered(hid_t group, const char *prefix) {
    char name[FRX_NAME_SIZE];
    int n = 0;
    do snprintf(name, sizeof name, "%s%d", prefix, n++);
    while (frx_hdf5_has(group, name));
    return n - 1;
}

static int is_member(const char *name, const struct frx_hdf5_member *member) {
    if (member->count == 0) return strcmp(name, member->name) == 0;
    const size_t n_prefix = strlen(member->name);
    if (strncmp(name, member->name, n_prefix) != 0) return 0;
    char *end, canonical[32];
    const long index = strtol(name + n_prefix, &end, 10);
    snprintf(canonical, sizeof canonical, "%ld", index);
    return strcmp(name + n_prefix, canonical) == 0 && index >= 0 && index < member->count;
}

static herr_t refuse_attribute(hid_t object, const char *name, const H5A_info_t *info, void *data) {
    (void)object, (void)info;
    for (const char *const *known = *(const char *const **)data; *known; known++)
        if (strcmp(name, *known) == 0) return 0;
    *(char **)data = strdup(name);
    return 1; /* stop: unknown */
}

enum frx_status frx_hdf5_refuse_others(hid_t group, const struct frx_hdf5_member *members,
                                       const char *const *attributes) {
    char place[FRX_PLACE_SIZE], name[FRX_NAME_SIZE];
    int n;
    FRX_TRY(frx_hdf5_count_members(group, &n));
    for (int i = 0; i < n; i++) {
        FRX_TRY(frx_hdf5_member_name(group, i, name));
        const struct frx_hdf5_member *known = members;
        while (known->name && !is_member(name, known)) known++;
        frx_hdf5_place(group, name, place);
        if (!known->name)
            return FRX_FAIL(FRX_ERR_FORMAT, "%s is not known to this version of flashrex", place);
    }
    frx_hdf5_place(group, NULL, place);
    union {
        const char *const *known;
        char *unknown;
    } data = {attributes};
    const herr_t found = H5Aiterate2(group, H5_INDEX_NAME, H5_ITER_INC, NULL, refuse_attribute, &data);
    FRX_HDF5_TRY(found, FRX_ERR_FORMAT, "%s: attributes cannot be read", place);
    if (found == 0) return FRX_OK;
    const enum frx_status status =
        FRX_FAIL(FRX_ERR_FORMAT, "%s: attribute %s is not known to this version of flashrex", place,
                 data.unknown ? data.unknown : "?");
    free(data.unknown);
    return status;
}

/* ---- datasets ---- */

static const char *class_name(H5T_class_t class) {
    switch (class) {
    case H5T_INTEGER:
        return "integer";
    case H5T_FLOAT:
        return "real";
    case H5T_STRING:
        return "string";
    case H5T_ENUM:
        return "enumeration or boolean";
    case H5T_COMPOUND:
        return "compound";
    default:
        return "something else";
    }
}

static enum frx_status check_class(hid_t type, const char *place, int real, int integer, int string) {
    const H5T_class_t class = H5Tget_class(type);
    if ((real && class == H5T_FLOAT) || (integer && class == H5T_INTEGER) || (string && class == H5T_STRING))
        return FRX_OK;
    return FRX_FAIL(FRX_ERR_FORMAT, "%s is of type %s, expected %s", place, class_name(class),
                    string ? "string"
                    : real ? "real"
                           : "integer");
}

static void print_shape(int rank, const hsize_t *dims, char text[128]) {
    size_t n = (size_t)snprintf(text, 128, "[");
    for (int d = 0; d < rank && n < 100; d++)
        n += (size_t)snprintf(text + n, 128 - n, "%s%llu", d ? ", " : "", (unsigned long long)dims[d]);
    snprintf(text + n, 128 - n, "]");
}

static void print_wanted(int rank, const int *shape, char text[128]) {
    size_t n = (size_t)snprintf(text, 128, "[");
    for (int d = 0; d < rank; d++) {
        n += (size_t)snprintf(text + n, 128 - n, d ? ", " : "");
        n += shape[d] == FRX_ANY ? (size_t)snprintf(text + n, 128 - n, "any")
                                 : (size_t)snprintf(text + n, 128 - n, "%d", shape[d]);
    }
    snprintf(text + n, 128 - n, "]");
}

/* HDF5 reads whole chunks, however few of their elements the dataset has. */
static enum frx_status check_chunks(hid_t properties, const char *place) {
    hsize_t chunk[H5S_MAX_RANK];
    const int rank =
        H5Pget_layout(properties) == H5D_CHUNKED ? H5Pget_chunk(properties, H5S_MAX_RANK, chunk) : 0;
    double n = 1;
    for (int d = 0; d < rank; d++) n *= (double)chunk[d];
    if (n <= (double)FRX_MAX_ELEMENT) return FRX_OK;
    return FRX_FAIL(FRX_ERR_FORMAT, "%s is stored in chunks of %.0f elements", place, n);
}

/* Check rank and sizes, fill in the open ones, and refuse more than memory or the file itself can hold: data
 * lies in this file, and no filter shrinks more than a thousandfold (deflate reaches 1032). */
static enum frx_status check_shape(hid_t dataset, const char *place, int rank, int *shape, size_t *n) {
    FRX_HID space = H5Dget_space(dataset);
    FRX_HDF5_TRY(space, FRX_ERR_FORMAT, "%s cannot be read", place);
    hsize_t dims[H5S_MAX_RANK] = {0};
    const int n_dim = H5Sget_simple_extent_dims(space, dims, NULL);
    FRX_HDF5_TRY(n_dim, FRX_ERR_FORMAT, "%s cannot be read", place);
    int fits = n_dim == rank;
    for (int d = 0; d < rank && fits; d++)
        fits = (shape[d] == FRX_ANY && dims[d] <= INT_MAX) || dims[d] == (hsize_t)shape[d];
    if (!fits) {
        char found[128], wanted[128];
        print_shape(n_dim, dims, found);
        print_wanted(rank, shape, wanted);
        return FRX_FAIL(FRX_ERR_FORMAT, "%s has shape %s, expected %s", place, found, wanted);
    }
    int64_t count = 1;
    for (int d = 0; d < rank; d++) {
        shape[d] = (int)dims[d];
        if (dims[d] > 0 && count > FRX_MAX_ELEMENT / shape[d])
            return FRX_FAIL(FRX_ERR_FORMAT, "%s has more than %lld elements", place,
                            (long long)FRX_MAX_ELEMENT);
        count *= shape[d];
    }
    FRX_HID properties = H5Dget_create_plist(dataset);
    FRX_HDF5_TRY(properties, FRX_ERR_FORMAT, "%s cannot be read", place);
    if (H5Pget_layout(properties) == H5D_VIRTUAL || H5Pget_external_count(properties) > 0)
        return FRX_FAIL(FRX_ERR_FORMAT, "%s takes its data from another file", place);
    FRX_TRY(check_chunks(properties, place));
    const hsize_t stored = H5Dget_storage_size(dataset);
    if (count > 0 && (hsize_t)count / 1100 > stored)
        return FRX_FAIL(FRX_ERR_FORMAT, "%s has %lld elements, but the file holds only %llu bytes of it",
                        place, (long long)count, (unsigned long long)stored);
    if (count > 0 && stored == 0) return FRX_FAIL(FRX_ERR_FORMAT, "%s was never written", place);
    *n = (size_t)count;
    return FRX_OK;
}

/* Read a numeric dataset as memory_type of element_size bytes. */
static enum frx_status read_numbers(hid_t parent, const char *name, int rank, int *shape, hid_t memory_type,
                                    size_t element_size, size_t *n, void **values) {
    char place[FRX_PLACE_SIZE];
    frx_hdf5_place(parent, name, place);
    FRX_HID dataset = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_open_dataset(parent, name, &dataset));
    FRX_HID type = H5Dget_type(dataset);
    FRX_HDF5_TRY(type, FRX_ERR_FORMAT, "%s cannot be read", place);
    FRX_TRY(check_class(type, place, memory_type == H5T_NATIVE_DOUBLE, 1, 0));
    FRX_TRY(check_shape(dataset, place, rank, shape, n));
    void *buffer = malloc((*n ? *n : 1) * element_size);
    if (!buffer) return FRX_FAIL(FRX_ERR_MEMORY, "%s: no memory for %zu elements", place, *n);
    if (*n > 0 && H5Dread(dataset, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer) < 0) {
        free(buffer);
        return FRX_HDF5_FAIL(FRX_ERR_FORMAT, "%s cannot be read", place);
    }
    *values = buffer;
    return FRX_OK;
}

enum frx_status frx_hdf5_read_reals(hid_t parent, const char *name, int rank, int *shape, double **values) {
    size_t n;
    void *buffer;
    FRX_TRY(read_numbers(parent, name, rank, shape, H5T_NATIVE_DOUBLE, sizeof(double), &n, &buffer));
    *values = buffer;
    return FRX_OK;
}

enum frx_status frx_hdf5_read_ints(hid_t parent, const char *name, int rank, int *shape, int32_t **values) {
    size_t n;
    void *buffer;
    FRX_TRY(read_numbers(parent, name, rank, shape, H5T_NATIVE_INT64, sizeof(int64_t), &n, &buffer));
    const int64_t *wide = buffer;
    int32_t *narrow = malloc((n ? n : 1) * sizeof *narrow);
    enum frx_status status = FRX_OK;
    char place[FRX_PLACE_SIZE];
    frx_hdf5_place(parent, name, place);
    if (!narrow) status = FRX_FAIL(FRX_ERR_MEMORY, "%s: no memory for %zu elements", place, n);
    for (size_t i = 0; i < n && status == FRX_OK; i++) {
        if (wide[i] < INT32_MIN || wide[i] > INT32_MAX)
            status = FRX_FAIL(FRX_ERR_FORMAT, "%s has %lld at element %zu, beyond 32 bits", place,
                              (long long)wide[i], i);
        else
            narrow[i] = (int32_t)wide[i];
    }
    free(buffer);
    if (status == FRX_OK)
        *values = narrow;
    else
        free(narrow);
    return status;
}

/* ---- strings ---- */

#define MAX_STRING (1 << 20) /* bytes of one string */

/* Copy element i of a buffer read with its file type; fixed strings may be padded by zeros or spaces. */
static char *string_element(const void *buffer, size_t i, size_t size, int variable, H5T_str_t padding) {
    if (variable) {
        const char *text = ((char *const *)buffer)[i];
        return strndup(text ? text : "", MAX_STRING);
    }
    const char *text = (const char *)buffer + i * size;
    size_t length = strnlen(text, size);
    while (padding == H5T_STR_SPACEPAD && length > 0 && text[length - 1] == ' ') length--;
    return strndup(text, length);
}

/* Read n strings of a dataset or an attribute (the other one is H5I_INVALID_HID); each is owned by the
 * caller. */
static enum frx_status read_strings(hid_t dataset, hid_t attribute, const char *place, size_t n,
                                    char **strings) {
    FRX_HID type = dataset >= 0 ? H5Dget_type(dataset) : H5Aget_type(attribute);
    FRX_HDF5_TRY(type, FRX_ERR_FORMAT, "%s cannot be read", place);
    FRX_TRY(check_class(type, place, 0, 0, 1));
    FRX_HID space = dataset >= 0 ? H5Dget_space(dataset) : H5Aget_space(attribute);
    FRX_HDF5_TRY(space, FRX_ERR_FORMAT, "%s cannot be read", place);
    const int variable = H5Tis_variable_str(type) > 0;
    const size_t size = H5Tget_size(type);
    if (size > MAX_STRING) return FRX_FAIL(FRX_ERR_FORMAT, "%s has strings of %zu bytes", place, size);
    void *buffer = calloc(n ? n : 1, size);
    if (!buffer) return FRX_FAIL(FRX_ERR_MEMORY, "%s: no memory for %zu strings", place, n);
    const herr_t failed = n == 0         ? 0
                          : dataset >= 0 ? H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer)
                                         : H5Aread(attribute, type, buffer);
    enum frx_status status = FRX_OK;
    if (failed < 0) status = FRX_HDF5_FAIL(FRX_ERR_FORMAT, "%s cannot be read", place);
    for (size_t i = 0; i < n && failed >= 0; i++) {
        strings[i] = string_element(buffer, i, size, variable, H5Tget_strpad(type));
        if (!strings[i]) status = FRX_FAIL(FRX_ERR_MEMORY, "%s: no memory", place);
    }
    if (variable && failed >= 0) H5Dvlen_reclaim(type, space, H5P_DEFAULT, buffer);
    free(buffer);
    return status;
}

static enum frx_status copy_name(const char *text, const char *place, size_t i, char name[FRX_NAME_SIZE]) {
    if (strlen(text) >= FRX_NAME_SIZE)
        return FRX_FAIL(FRX_ERR_FORMAT, "%s: element %zu has %zu bytes, at most %d are allowed", place, i,
                        strlen(text), FRX_NAME_SIZE - 1);
    for (const char *c = text; *c; c++)
        if (is_control(*c))
            return FRX_FAIL(FRX_ERR_FORMAT, "%s: element %zu holds the control character %d", place, i, *c);
    snprintf(name, FRX_NAME_SIZE, "%s", text);
    return FRX_OK;
}

enum frx_status frx_hdf5_read_names(hid_t parent, const char *name, int n, char (**values)[FRX_NAME_SIZE]) {
    char place[FRX_PLACE_SIZE];
    frx_hdf5_place(parent, name, place);
    FRX_HID dataset = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_open_dataset(parent, name, &dataset));
    size_t count;
    FRX_TRY(check_shape(dataset, place, 1, &n, &count));
    char **strings = calloc(count + 1, sizeof *strings);
    char(*names)[FRX_NAME_SIZE] = calloc(count + 1, sizeof *names);
    enum frx_status status = FRX_OK;
    if (!strings || !names)
        status = FRX_FAIL(FRX_ERR_MEMORY, "%s: no memory for %zu names", place, count);
    else
        status = read_strings(dataset, H5I_INVALID_HID, place, count, strings);
    for (size_t i = 0; i < count && status == FRX_OK; i++) status = copy_name(strings[i], place, i, names[i]);
    for (size_t i = 0; strings && i < count; i++) free(strings[i]);
    free(strings);
    if (status == FRX_OK)
        *values = names;
    else
        free(names);
    return status;
}

/* ---- attributes ---- */

/* Open a scalar attribute (one element counts as scalar) and say where it is. */
static enum frx_status open_attribute(hid_t object, const char *name, char place[FRX_PLACE_SIZE],
                                      hid_t *attribute) {
    char owner[FRX_PLACE_SIZE];
    frx_hdf5_place(object, NULL, owner);
    snprintf(place, FRX_PLACE_SIZE, "%.*s: attribute %.64s", FRX_PLACE_SIZE - 96, owner, name);
    const htri_t exists = H5Aexists(object, name);
    FRX_HDF5_TRY(exists, FRX_ERR_FORMAT, "%s cannot be read", place);
    if (!exists) return FRX_FAIL(FRX_ERR_FORMAT, "%s is missing", place);
    *attribute = H5Aopen(object, name, H5P_DEFAULT);
    FRX_HDF5_TRY(*attribute, FRX_ERR_FORMAT, "%s cannot be read", place);
    FRX_HID space = H5Aget_space(*attribute);
    if (H5Sget_simple_extent_npoints(space) == 1) return FRX_OK;
    return FRX_FAIL(FRX_ERR_FORMAT, "%s is not a scalar", place);
}

static enum frx_status read_attribute(hid_t object, const char *name, hid_t memory_type, void *value) {
    char place[FRX_PLACE_SIZE];
    FRX_HID attribute = H5I_INVALID_HID;
    FRX_TRY(open_attribute(object, name, place, &attribute));
    FRX_HID type = H5Aget_type(attribute);
    FRX_HDF5_TRY(type, FRX_ERR_FORMAT, "%s cannot be read", place);
    FRX_TRY(check_class(type, place, memory_type == H5T_NATIVE_DOUBLE, 1, 0));
    FRX_HDF5_TRY(H5Aread(attribute, memory_type, value), FRX_ERR_FORMAT, "%s cannot be read", place);
    return FRX_OK;
}

enum frx_status frx_hdf5_attribute_real(hid_t object, const char *name, double *value) {
    return read_attribute(object, name, H5T_NATIVE_DOUBLE, value);
}

enum frx_status frx_hdf5_attribute_int(hid_t object, const char *name, int64_t *value) {
    return read_attribute(object, name, H5T_NATIVE_INT64, value);
}

enum frx_status frx_hdf5_attribute_string(hid_t object, const char *name, char **value) {
    char place[FRX_PLACE_SIZE];
    FRX_HID attribute = H5I_INVALID_HID;
    FRX_TRY(open_attribute(object, name, place, &attribute));
    char *text = NULL;
    FRX_TRY(read_strings(H5I_INVALID_HID, attribute, place, 1, &text));
    *value = text;
    return FRX_OK;
}

enum frx_status frx_hdf5_attribute_choice(hid_t object, const char *name, const char *const *options,
                                          int *choice) {
    char *text, list[256] = "", owner[FRX_PLACE_SIZE];
    FRX_TRY(frx_hdf5_attribute_string(object, name, &text));
    for (*choice = 0; options[*choice]; (*choice)++) {
        if (strcmp(text, options[*choice]) == 0) {
            free(text);
            return FRX_OK;
        }
        const size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", options[*choice]);
    }
    frx_hdf5_place(object, NULL, owner);
    const enum frx_status status = FRX_FAIL(
        FRX_ERR_FORMAT, "%s: attribute %s is \"%.60s\", expected one of %s", owner, name, text, list);
    free(text);
    return status;
}
