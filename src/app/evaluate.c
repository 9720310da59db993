#include "evaluate.h"

#include "cpu_engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 64 /* frames evaluated at once, at most */

static enum frx_status prepare(const struct frx_system *system, struct frx_frames *frames) {
    const size_t n = (size_t)frames->n_frame, n_coordinate = 3 * (size_t)frames->n_bead;
    if (frames->n_bead != system->n_bead)
        return FRX_FAIL(FRX_ERR_ARGUMENT, "the frames have %d beads and the system has %d", frames->n_bead,
                        system->n_bead);
    for (int f = 0; f < frames->n_frame; f++) {
        char what[32];
        snprintf(what, sizeof what, "frame %d", f);
        FRX_TRY(frx_positions_check(frames->positions + (size_t)f * n_coordinate, system->n_bead,
                                    frx_system_has_pair_energy(system), what));
    }
    frames->n_part = frx_system_n_part(system);
    free(frames->energy), free(frames->forces), free(frames->parts), free(frames->part_name);
    frames->energy = malloc(n * sizeof *frames->energy);
    frames->forces = malloc(n * n_coordinate * sizeof *frames->forces);
    frames->parts = malloc((n * (size_t)frames->n_part + 1) * sizeof *frames->parts);
    frames->part_name = calloc((size_t)frames->n_part + 1, sizeof *frames->part_name);
    if (!frames->energy || !frames->forces || !frames->parts || !frames->part_name)
        return FRX_FAIL(FRX_ERR_MEMORY, "out of memory for %d frames", frames->n_frame);
    for (int p = 0; p < frames->n_part; p++)
        snprintf(frames->part_name[p], FRX_NAME_SIZE, "%s", frx_system_part_name(system, p));
    return FRX_OK;
}

/* Frames far from the origin lose digits in an engine whose state is float: whole Angstrom are taken off,
 * which costs positions that are floats nothing. */
static void move_to_origin(int n_bead, const double *positions, double *moved) {
    for (int d = 0; d < 3; d++) {
        double centre = 0;
        for (int i = 0; i < n_bead; i++) centre += positions[3 * i + d] / n_bead;
        for (int i = 0; i < n_bead; i++) moved[3 * i + d] = positions[3 * i + d] - round(centre);
    }
}

/* moved [n_rep][n_bead][3], NULL: positions as they are */
static enum frx_status evaluate_batches(const struct frx_engine_class *engine_class,
                                        struct frx_engine *engine, int n_rep, struct frx_frames *frames,
                                        double *batch_parts, double *moved) {
    const size_t n_coordinate = 3 * (size_t)frames->n_bead, n_part = (size_t)frames->n_part;
    for (int first = 0; first < frames->n_frame; first += n_rep) {
        const int n = frames->n_frame - first < n_rep ? frames->n_frame - first : n_rep;
        double *positions = frames->positions + (size_t)first * n_coordinate;
        for (int k = 0; moved && k < n; k++)
            move_to_origin(frames->n_bead, positions + (size_t)k * n_coordinate,
                           moved + (size_t)k * n_coordinate);
        const struct frx_state_view in = {.positions = moved ? moved : positions};
        FRX_TRY(engine_class->set_state(engine, 0, n, &in));
        FRX_TRY(engine_class->energy_parts(engine, batch_parts)); /* computes forces and energies, too */
        const struct frx_state_view out = {.forces = frames->forces + (size_t)first * n_coordinate,
                                           .energy = frames->energy + first};
        FRX_TRY(engine_class->get_state(engine, 0, n, &out));
        memcpy(frames->parts + (size_t)first * n_part, batch_parts, (size_t)n * n_part * sizeof *batch_parts);
    }
    return FRX_OK;
}

enum frx_status frx_evaluate(const struct frx_engine_class *engine_class, const struct frx_system *system,
                             enum frx_precision precision, int n_thread, struct frx_frames *frames) {
    FRX_TRY(prepare(system, frames));
    const struct frx_engine_options options = {.n_rep = frames->n_frame < BATCH ? frames->n_frame : BATCH,
                                               .precision = precision,
                                               .timestep = 0.001,
                                               .n_thread = n_thread};
    const int move = engine_class->memory == FRX_MEMORY_DEVICE && frx_system_is_translation_invariant(system);
    const size_t n_batch_part = (size_t)options.n_rep * (size_t)(frames->n_part + 1);
    double *batch_parts =
        malloc((n_batch_part + 3 * (size_t)options.n_rep * (size_t)frames->n_bead) * sizeof *batch_parts);
    if (!batch_parts) return FRX_FAIL(FRX_ERR_MEMORY, "out of memory for %d frames", frames->n_frame);
    struct frx_engine *engine = NULL;
    enum frx_status status = engine_class->create(system, &options, &engine);
    if (status == FRX_OK)
        status = evaluate_batches(engine_class, engine, options.n_rep, frames, batch_parts,
                                  move ? batch_parts + n_batch_part : NULL);
    engine_class->destroy(engine);
    free(batch_parts);
    return status;
}

static enum frx_status compare(const struct frx_system *system, const struct frx_frames *frames,
                               struct frx_verification *verification) {
    const struct frx_known_answer *known = system->known_answer;
    double scale = 0, worst = fabs(frames->energy[0] - known->energy);
    for (int p = 0; p < frames->n_part; p++) {
        scale += fabs(known->part[p]);
        worst = fmax(worst, fabs(frames->parts[p] - known->part[p]));
    }
    double square = 0, difference = 0;
    for (int c = 0; c < 3 * system->n_bead; c++) {
        const double d = frames->forces[c] - known->forces[c];
        square += known->forces[c] * known->forces[c];
        difference += d * d;
    }
    verification->energy_error = scale > 0 ? worst / scale : worst;
    verification->force_error = square > 0 ? sqrt(difference / square) : sqrt(difference);
    if (verification->energy_error <= FRX_VERIFY_ENERGY && verification->force_error <= FRX_VERIFY_FORCES)
        return FRX_OK;
    return FRX_FAIL(
        FRX_ERR_MODEL,
        "the known answer is missed: energy %.10g kcal/mol where the file says %.10g, forces off by %.2g: "
        "the system file is damaged, or was written by another version",
        frames->energy[0], known->energy, verification->force_error);
}

enum frx_status frx_verify(const struct frx_system *system, int n_thread,
                           struct frx_verification *verification) {
    const size_t n_byte = 3 * (size_t)system->n_bead * sizeof(double);
    struct frx_frames frames = {.n_frame = 1, .n_bead = system->n_bead, .positions = malloc(n_byte)};
    if (!frames.positions) return FRX_FAIL(FRX_ERR_MEMORY, "out of memory for one frame");
    memcpy(frames.positions, system->known_answer->positions, n_byte);
    enum frx_status status = frx_evaluate(&frx_cpu_engine, system, FRX_PRECISION_DOUBLE, n_thread, &frames);
    if (status == FRX_OK) status = compare(system, &frames, verification);
    frx_frames_clear(&frames);
    return status;
}
