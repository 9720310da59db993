/* System files. What is accepted must be fit for use: `flashrex info` describes it. */
#include "file_info.h"
#include "hdf5_edits.h"
#include "make_system.h"
#include "system_file.h"
#include "write_system.h"

#include <stdlib.h>
#include <string.h>

static void add_known_answer(struct frx_system *system) {
    const size_t n = 3 * (size_t)system->n_bead;
    struct frx_known_answer *answer = calloc(1, sizeof *answer);
    frx_fuzz_require(answer != NULL, "memory");
    answer->positions = calloc(n, sizeof *answer->positions);
    answer->forces = calloc(n, sizeof *answer->forces);
    answer->part = calloc((size_t)frx_system_n_part(system), sizeof *answer->part);
    system->known_answer = answer;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    struct frx_test_model model = frx_test_model_default();
    model.n_bead = 8; /* enough for a term of every prior */
    model.n_hidden = model.n_filter = 4;
    model.n_basis = 3;
    struct frx_system system;
    frx_test_system_make(&model, &system);
    add_known_answer(&system);
    system.n_bond = 1;
    system.bonds = calloc(2, sizeof *system.bonds);
    system.bonds[1] = 1;
    const char *path = frx_fuzz_file("good.h5", "", 0);
    frx_test_system_write(path, &system);
    frx_system_clear(&system);
    frx_edits_start(path);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct frx_fuzz_input input = {data, size};
    int is_damaged;
    const char *path = frx_edits_apply(&input, &is_damaged);
    const int guards = frx_fuzz_guards(is_damaged);
    struct frx_system system;
    struct frx_file_info info;
    const enum frx_status status =
        guards ? frx_system_read(path, &system) : frx_system_read_unguarded(path, &system);
    frx_fuzz_require(status == FRX_OK || frx_error_message()[0], "a refusal has a message");
    if (status == FRX_OK)
        frx_fuzz_require(frx_system_validate(&system) == FRX_OK, "what was read is valid");
    else
        frx_fuzz_require(!system.prior && !system.network && system.n_bead == 0,
                         "a failed read leaves nothing");
    const enum frx_status described =
        guards ? frx_file_info_read(path, &info) : frx_file_info_read_unguarded(path, &info);
    frx_fuzz_require(status != FRX_OK || described == FRX_OK, "what can be read can be described");
    frx_file_info_clear(&info);
    frx_system_clear(&system);
    return 0;
}
