/* What --continue reads: checkpoint and journal. The first byte of the input says which of them the rest is,
 * and whether its digest is right (written here), so that what lies behind the digest is tried too: it goes
 * into a session with engine and exchange as on a restart. */
#include "journal.h"
#include "make_system.h"
#include "restart.h"
#include "run_directory.h"
#include "sha256.h"
#include "support.h"
#include "write_system.h"

#include <stdlib.h>
#include <string.h>

static struct frx_comm comm;
static struct frx_session session;

/* A digest that does not depend on how HDF5 wrote the file today. */
#define SYSTEM_DIGEST "0000000000000000000000000000000000000000000000000000000000000000"

static void open_session(void) {
    struct frx_test_model model = frx_test_model_default();
    model.n_bead = 2;
    model.n_hidden = 0;
    model.priors = FRX_TEST_PRIORS_HARMONIC;
    struct frx_system system;
    frx_test_system_make(&model, &system);
    char path[128];
    snprintf(path, sizeof path, "%s", frx_fuzz_file("system.h5", "", 0));
    frx_test_system_write(path, &system);
    frx_system_clear(&system);
    static const char text[] =
        "system: system.h5\noutput: .\ntemperatures: [300, 330, 360]\nn_timesteps: 100\n"
        "engine: cpu\nprecision: double\nn_threads: 1\nexchange_interval: 10\n"
        "move: temperatures\n";
    char config[128], *argument[1] = {config};
    snprintf(config, sizeof config, "%s", frx_fuzz_file("run.yaml", text, sizeof text - 1));
    frx_fuzz_require(frx_session_open(&comm, 1, argument, &session) == FRX_OK &&
                         frx_session_start(&session) == FRX_OK,
                     frx_error_message());
    snprintf(session.system.content_sha256, sizeof session.system.content_sha256, SYSTEM_DIGEST);
}

/* The seed of the corpus: a checkpoint as a run writes it, before the first step. */
static void write_seed(const char *path) {
    struct frx_exchange_options options = frx_session_exchange_options(&session);
    struct frx_exchange *exchange = NULL;
    struct frx_tally tally = {0};
    const int64_t segment[1][2] = {{0, 0}};
    frx_fuzz_require(frx_tally_create(session.ladder.n_rung, &tally) == FRX_OK &&
                         frx_exchange_create(&comm, &session.ladder, session.engine_class, session.engine,
                                             &options, &exchange) == FRX_OK,
                     frx_error_message());
    const struct frx_restart_content content = {
        .session = &session, .exchange = exchange, .tally = &tally, .n_segment = 1, .segment = segment};
    frx_fuzz_require(frx_restart_write(&content) == FRX_OK, frx_error_message());
    struct frx_checkpoint checkpoint;
    frx_fuzz_require(frx_checkpoint_read(comm.mpi, session.config.output, &checkpoint) == FRX_OK,
                     "reading back");
    FILE *file = fopen(path, "wb");
    frx_fuzz_require(file && fputc(1, file) == 1 &&
                         fwrite(checkpoint.byte, 1, (size_t)checkpoint.n_byte - 64, file) > 0 &&
                         fclose(file) == 0,
                     "writing the seed");
    exit(0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    frx_fuzz_start_mpi();
    frx_fuzz_require(frx_comm_create(MPI_COMM_WORLD, &comm) == FRX_OK, "a communicator");
    open_session();
    frx_fuzz_file("segment_0001.h5", "", 0);
    if (getenv("FRX_FUZZ_SEED")) write_seed(getenv("FRX_FUZZ_SEED"));
    return 0;
}

static void go_on(const struct frx_restart *restart) {
    int rung_of_slot[3];
    if (!restart->found || frx_restart_engine(restart, &session, rung_of_slot) != FRX_OK) return;
    struct frx_exchange_options options = frx_session_exchange_options(&session);
    options.rung_of_slot = rung_of_slot;
    struct frx_exchange *exchange = NULL;
    struct frx_tally tally = {0};
    if (frx_tally_create(session.ladder.n_rung, &tally) == FRX_OK &&
        frx_exchange_create(&comm, &session.ladder, session.engine_class, session.engine, &options,
                            &exchange) == FRX_OK)
        (void)!frx_restart_sums(restart, frx_exchange_statistics(exchange), &tally);
    frx_exchange_destroy(exchange);
    frx_tally_clear(&tally);
}

static void try_checkpoint(void) {
    struct frx_restart restart;
    if (frx_restart_read(&session, &restart) == FRX_OK) go_on(&restart);
    frx_restart_clear(&restart);
}

static void try_journal(void) {
    int n = 0;
    int64_t(*rows)[2] = NULL;
    if (frx_journal_read(frx_fuzz_folder(), &n, &rows) == FRX_OK)
        for (int s = 0; s < n; s++) frx_fuzz_require(rows[s][0] >= 0 && rows[s][1] >= 0, "counts are counts");
    free(rows);
}

/* The input with its digest behind it. */
static void write_with_digest(const char *name, const char *label, const uint8_t *data, size_t size) {
    struct frx_sha256 hash;
    char digest[FRX_SHA256_TEXT];
    frx_sha256_start(&hash);
    frx_sha256_take(&hash, data, size);
    frx_sha256_finish(&hash, digest);
    char *whole = malloc(size + 128);
    frx_fuzz_require(whole != NULL, "memory");
    if (size) memcpy(whole, data, size);
    const int n = snprintf(whole + size, 128, "%s%s", label, digest);
    frx_fuzz_file(name, whole, size + (size_t)n);
    free(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const int mode = size ? data[0] & 3 : 0;
    if (size) data++, size--;
    if (mode & 1)
        write_with_digest(mode & 2 ? FRX_JOURNAL : FRX_CHECKPOINT, mode & 2 ? "sha256 " : "", data, size);
    else
        frx_fuzz_file(mode & 2 ? FRX_JOURNAL : FRX_CHECKPOINT, data, size);
    if (mode & 2)
        try_journal();
    else
        try_checkpoint();
    return 0;
}
