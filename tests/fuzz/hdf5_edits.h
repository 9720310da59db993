/* Hostile HDF5 files: a good one, changed as the fuzzer's input says.
 *
 * Most changes go through HDF5 itself, so that the result is a valid file with wrong content (other types,
 * shapes, values, names, links), which is what our own code must withstand. The rest turn bytes of the file,
 * which HDF5 must withstand, or the guard must. */
#ifndef FRX_TESTS_FUZZ_HDF5_EDITS_H
#define FRX_TESTS_FUZZ_HDF5_EDITS_H

#include "support.h"

/* Remember the file to start from and list what is in it. */
void frx_edits_start(const char *path);

/* Write the changed file and return its path. *is_damaged: bytes were turned, HDF5 may crash on it. */
const char *frx_edits_apply(struct frx_fuzz_input *input, int *is_damaged);

#endif
