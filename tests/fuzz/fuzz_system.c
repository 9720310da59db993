/* System files. What is accepted must be fit for use: `flashrex info` describes it. */
#include "file_info.h"
#include "hdf5_edits.h"
#include "system_file.h"
#include "write_system.h"

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    const char *path = frx_fuzz_file("good.h5", "", 0);
    frx_test_system_write_small(path);
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
