/* What fuzzers share: a folder of their own, files with given bytes, and numbers drawn from the input. */
#ifndef FRX_TESTS_FUZZ_SUPPORT_H
#define FRX_TESTS_FUZZ_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

/* libFuzzer's entry points. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A folder in memory, if there is one, that is removed when the program ends. Owned by the callee. */
const char *frx_fuzz_folder(void);

/* Write a file of that name in the folder; its path, valid until the next call. Ends the program if it cannot
 * be written. */
const char *frx_fuzz_file(const char *name, const void *bytes, size_t n_byte);

/* End the program with a message unless `is_true`: a finding. */
void frx_fuzz_require(int is_true, const char *what);

/* Start MPI without looking for leaks in it. */
void frx_fuzz_start_mpi(void);

/* Whether to read a damaged file in a child process. FRX_FUZZ_DIRECT in the environment: never, to see where
 * a finding crashes. */
int frx_fuzz_guards(int is_damaged);

/* The input as a stream of numbers; zeros when it is used up. */
struct frx_fuzz_input {
    const uint8_t *at;
    size_t n_byte;
};
uint64_t frx_fuzz_take(struct frx_fuzz_input *input, int n_byte);          /* little-endian, n_byte <= 8 */
unsigned frx_fuzz_below(struct frx_fuzz_input *input, unsigned n);         /* of one byte; n >= 1 */
void frx_fuzz_text(struct frx_fuzz_input *input, char *text, size_t size); /* length, then bytes */

#endif
