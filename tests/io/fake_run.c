#include "fake_run.h"

#include "units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double fake_position(int frame, int place, int bead, int k) {
    return 3.75 * bead + 0.125 * frame + 0.015625 * place + k;
}

double fake_energy(int frame, int place, int n_bead) {
    return -n_bead + 0.1 * frame + 0.001 * place;
}

/* Replicas stay in their ladder and move one rung per frame. */
uint32_t fake_identity(int frame, int place, int n_rung) {
    return (uint32_t)(place / n_rung * n_rung + (place + frame) % n_rung);
}

double fake_kinetic(int frame, int place) {
    return 5 + 0.1 * place + 0.001 * frame;
}

double fake_exchange_energy(int event, int place) {
    return -10.0 * place + 0.01 * event;
}

double fake_probability(int event, int pair) {
    return 1.0 / (1 + event % 5 + pair);
}

int fake_accepted(int event, int pair) {
    return (event + pair) % 2;
}

static void *allocate(size_t n, size_t size) {
    void *memory = calloc(n + 1, size);
    if (memory) return memory;
    fprintf(stderr, "no memory for a fake run\n");
    exit(1);
}

void fake_system_make(int n_bead, struct frx_system *system) {
    const size_t n = (size_t)n_bead;
    *system = (struct frx_system){.n_bead = n_bead, .n_bond = n_bead - 1, .n_structure = 1};
    memset(system->content_sha256, 'a', 64);
    struct frx_beads *beads = &system->beads;
    beads->type = allocate(n, sizeof *beads->type);
    beads->mass = allocate(n, sizeof *beads->mass);
    beads->residue_index = allocate(n, sizeof *beads->residue_index);
    beads->name = allocate(n, sizeof *beads->name);
    beads->residue_name = allocate(n, sizeof *beads->residue_name);
    beads->chain = allocate(n, sizeof *beads->chain);
    system->bonds = allocate(2 * n, sizeof *system->bonds);
    system->structures = allocate(3 * n, sizeof *system->structures);
    for (int i = 0; i < n_bead; i++) { /* two beads per residue, the last residue in a chain of its own */
        beads->type[i] = i % 3;
        beads->mass[i] = 12 / FRX_AMU_PER_MASS;
        beads->residue_index[i] = 7 + i / 2;
        snprintf(beads->name[i], FRX_NAME_SIZE, "%s", i % 2 ? "CB" : "CA");
        snprintf(beads->residue_name[i], FRX_NAME_SIZE, "%s", i / 2 % 2 ? "TYR" : "GLY");
        snprintf(beads->chain[i], FRX_NAME_SIZE, "%s", i / 2 == (n_bead - 1) / 2 ? "B" : "A");
        if (i > 0) system->bonds[2 * i - 2] = i - 1, system->bonds[2 * i - 1] = i;
        for (int k = 0; k < 3; k++) system->structures[3 * i + k] = fake_position(0, 0, i, k);
    }
}

/* This rank's configurations: slots first .. first + n - 1. */
static void distribute(MPI_Comm comm, const struct fake_run *run, int *first, int *n) {
    int rank, n_rank;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_rank);
    const int n_place = run->n_ladder * run->n_rung;
    if (run->uneven) { /* 1, 2, 3, .. on the later ranks */
        const int later = n_rank * (n_rank - 1) / 2;
        *n = rank ? rank : n_place - later;
        *first = rank ? n_place - later + rank * (rank - 1) / 2 : 0;
    } else {
        *first = rank * n_place / n_rank;
        *n = (rank + 1) * n_place / n_rank - *first;
    }
}

struct frx_trajectory_options fake_options(MPI_Comm comm, const struct fake_run *run,
                                           const struct frx_system *system, double *beta) {
    int first, n_local;
    distribute(comm, run, &first, &n_local);
    for (int k = 0; k < run->n_rung; k++) beta[k] = FRX_BETA_OF_KELVIN(300.0 + 12.5 * k);
    return (struct frx_trajectory_options){.system = system,
                                           .system_path = "fake.h5",
                                           .n_ladder = run->n_ladder,
                                           .n_rung = run->n_rung,
                                           .beta = beta,
                                           .n_local = n_local,
                                           .timestep = 0.004,
                                           .seed = 42,
                                           .config = "steps: 1\n# with a comment, \xc3\xa4\n",
                                           .generator = "flashrex test",
                                           .build = "compiler: test\ncommit: none",
                                           .commit_interval = run->commit_interval,
                                           .overwrite = run->overwrite};
}

enum frx_status fake_append_frame(MPI_Comm comm, struct frx_trajectory *trajectory,
                                  const struct fake_run *run, int frame) {
    int first, n_local;
    distribute(comm, run, &first, &n_local);
    const int n_place = run->n_ladder * run->n_rung;
    const size_t n = (size_t)n_local;
    int *place = allocate(n, sizeof *place);
    float *positions = allocate(n * (size_t)run->n_bead * 3, sizeof *positions), *x = positions;
    double *energy = allocate(n, sizeof *energy), *kinetic = allocate(n, sizeof *kinetic);
    uint32_t *identity = allocate(n, sizeof *identity);
    for (int r = 0; r < n_local; r++) {
        place[r] = (first + r + (run->move_temperatures ? frame / 3 : 0)) % n_place;
        energy[r] = fake_energy(frame, place[r], run->n_bead);
        kinetic[r] = fake_kinetic(frame, place[r]);
        identity[r] = fake_identity(frame, place[r], run->n_rung);
        for (int i = 0; i < run->n_bead; i++)
            for (int k = 0; k < 3; k++) *x++ = (float)fake_position(frame, place[r], i, k);
    }
    const struct frx_frame content = {.step = 100 * (int64_t)(frame + 1),
                                      .adapting = frame < 2,
                                      .place = place,
                                      .positions = positions,
                                      .energy = energy,
                                      .kinetic = kinetic,
                                      .identity = identity};
    const enum frx_status status = frx_trajectory_append_frame(trajectory, &content);
    free(place);
    free(positions);
    free(energy);
    free(kinetic);
    free(identity);
    return status;
}

enum frx_status fake_append_exchange(struct frx_trajectory *trajectory, const struct fake_run *run,
                                     int event) {
    const int n_place = run->n_ladder * run->n_rung, n_pair = run->n_ladder * (run->n_rung - 1);
    double *energy = allocate((size_t)n_place, sizeof *energy);
    double *probability = allocate((size_t)n_pair, sizeof *probability);
    uint32_t *identity = allocate((size_t)n_place, sizeof *identity);
    int *from = allocate((size_t)n_place, sizeof *from);
    int *attempt = allocate((size_t)n_pair, sizeof *attempt),
        *accept = allocate((size_t)n_pair, sizeof *accept);
    for (int p = 0; p < n_place; p++) {
        energy[p] = fake_exchange_energy(event, p);
        identity[p] = fake_identity(event, p, run->n_rung);
        from[p] = (p + 1) % run->n_rung;
    }
    for (int p = 0; p < n_pair; p++) {
        probability[p] = fake_probability(event, p);
        attempt[p] = 1;
        accept[p] = fake_accepted(event, p);
    }
    const struct frx_exchange_record record = {.event = event,
                                               .step = 50 * (int64_t)(event + 1),
                                               .adapting = event < 4,
                                               .energy = energy,
                                               .identity = identity,
                                               .from = from,
                                               .probability = probability,
                                               .n_attempt = attempt,
                                               .n_accept = accept};
    const enum frx_status status = frx_trajectory_append_exchange(trajectory, &record);
    free(energy);
    free(probability);
    free(identity);
    free(from);
    free(attempt);
    free(accept);
    return status;
}

static enum frx_status append_all(MPI_Comm comm, struct frx_trajectory *trajectory,
                                  const struct fake_run *run) {
    const struct timespec pause = {run->pause_ms / 1000, run->pause_ms % 1000 * 1000000L};
    for (int frame = 0; frame < run->n_frame; frame++) {
        FRX_TRY(fake_append_exchange(trajectory, run, 2 * frame));
        FRX_TRY(fake_append_exchange(trajectory, run, 2 * frame + 1));
        FRX_TRY(fake_append_frame(comm, trajectory, run, frame));
        if (run->pause_ms) nanosleep(&pause, NULL);
    }
    return FRX_OK;
}

enum frx_status fake_run_write(MPI_Comm comm, const char *directory, const struct fake_run *run) {
    struct frx_system system;
    double *beta = allocate((size_t)run->n_rung, sizeof *beta);
    fake_system_make(run->n_bead, &system);
    const struct frx_trajectory_options options = fake_options(comm, run, &system, beta);
    struct frx_trajectory *trajectory;
    enum frx_status status = frx_trajectory_create(comm, directory, &options, &trajectory);
    frx_system_clear(&system);
    free(beta);
    if (status != FRX_OK) return status;
    const enum frx_status appended = append_all(comm, trajectory, run);
    status = frx_trajectory_close(trajectory); /* repeats the failure of an append */
    return appended != FRX_OK ? appended : status;
}
