#include "diverged.h"

#include "frames_file.h"
#include "pdb.h"
#include "version.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int all_finite(const double *value, size_t n) {
    double probe = 0; /* stays 0 unless something is infinite or NaN */
    for (size_t k = 0; k < n; k++) probe += 0 * value[k];
    return probe == 0;
}

/* Returns whether the frames file was written. */
static int save_slot(const struct frx_session *session, int slot, double *positions, double *forces) {
    double energy = 0;
    uint32_t identity = 0;
    const int n_bead = session->system.n_bead;
    const size_t n = 3 * (size_t)n_bead;
    const struct frx_state_view view = {
        .positions = positions, .forces = forces, .energy = &energy, .identity = &identity};
    const enum frx_status got = session->engine_class->get_state(session->engine, slot, 1, &view);
    if (got != FRX_OK && got != FRX_ERR_DIVERGED) return 0;
    if (isfinite(energy) && all_finite(forces, n)) return 0;

    char path[4096], title[64];
    const struct frx_frames frames = {
        .n_frame = 1, .n_bead = n_bead, .positions = positions, .forces = forces, .energy = &energy};
    snprintf(title, sizeof title, "replica %u, which diverged", (unsigned)identity);
    if (all_finite(positions, n)) {
        snprintf(path, sizeof path, "%s/diverged_%u.pdb", session->config.output, (unsigned)identity);
        (void)!frx_pdb_write(path, &session->system, positions, title);
    }
    snprintf(path, sizeof path, "%s/diverged_%u.h5", session->config.output, (unsigned)identity);
    return frx_frames_write(path, &frames, "flashrex " FRX_VERSION, 1) == FRX_OK;
}

void frx_diverged_save(const struct frx_session *session) {
    char before[FRX_MESSAGE_SIZE];
    snprintf(before, sizeof before, "%s", frx_error_message());
    const size_t n = 3 * (size_t)session->system.n_bead;
    double *state = malloc(2 * n * sizeof *state);
    int n_saved = 0;
    for (int r = 0; state && r < session->n_local; r++) n_saved += save_slot(session, r, state, state + n);
    free(state);
    MPI_Allreduce(MPI_IN_PLACE, &n_saved, 1, MPI_INT, MPI_SUM, session->comm->mpi);
    frx_error_set(before);
    if (n_saved) frx_error_add("its configuration is in %.200s/diverged_*.h5", session->config.output);
}
