#include "force.h"

#include "prior.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum frx_status frx_force_field_create(const struct frx_system *system, enum frx_precision precision,
                                       double table_tolerance, struct frx_force_field *field) {
    *field = (struct frx_force_field){.system = system};
    if (precision == FRX_PRECISION_MIXED)
        return FRX_FAIL(FRX_ERR_UNSUPPORTED,
                        "mixed precision needs a GPU (engine cuda); the CPU engine has single and double");
    if (!system->network || precision == FRX_PRECISION_DOUBLE) return FRX_OK;
    FRX_TRY(frx_filter_table_create(
        system->network, table_tolerance > 0 ? table_tolerance : FRX_FILTER_TOLERANCE_SINGLE, &field->table));
    field->network = frx_table_network_create(system->network, &field->table);
    /* the network has its own copy in single precision */
    free(field->table.coefficient);
    field->table.coefficient = NULL;
    if (!field->network) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the network in single precision");
    return FRX_OK;
}

void frx_force_field_clear(struct frx_force_field *field) {
    frx_filter_table_clear(&field->table);
    frx_table_network_destroy(field->network);
    memset(field, 0, sizeof *field);
}

enum frx_status frx_force_work_create(const struct frx_force_field *field, struct frx_force_work *work) {
    const struct frx_system *system = field->system;
    memset(work, 0, sizeof *work);
    work->part = calloc((size_t)frx_system_n_part(system) + 1, sizeof *work->part);
    work->forces = calloc(3 * (size_t)system->n_bead, sizeof *work->forces);
    int complete = work->part && work->forces;
    if (system->network) {
        FRX_TRY(frx_neighbours_create(system->n_bead, system->network->r_cut, &work->neighbours));
        if (field->network)
            work->tabulated = frx_table_work_create(field->network, system->n_bead);
        else
            work->reference = frx_reference_work_create(system);
        complete = complete && (work->tabulated || work->reference);
    }
    if (!complete) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the forces on %d beads", system->n_bead);
    return FRX_OK;
}

void frx_force_work_clear(struct frx_force_work *work) {
    frx_neighbours_clear(&work->neighbours);
    frx_reference_work_destroy(work->reference);
    frx_table_work_destroy(work->tabulated);
    free(work->part);
    free(work->forces);
    memset(work, 0, sizeof *work);
}

size_t frx_force_field_bytes(const struct frx_force_field *field) {
    return field->network ? frx_table_network_bytes(field->network) : 0;
}

size_t frx_force_work_bytes(const struct frx_force_field *field) {
    const struct frx_system *system = field->system;
    size_t bytes = ((size_t)frx_system_n_part(system) + 1 + 3 * (size_t)system->n_bead) * sizeof(double);
    if (!system->network) return bytes;
    return bytes + frx_neighbours_bytes(system->n_bead) +
           (field->network ? frx_table_work_bytes(field->network, system->n_bead)
                           : frx_reference_work_bytes(system));
}

enum frx_status frx_force_eval(const struct frx_force_field *field, struct frx_force_work *work,
                               const double *positions, double *forces, double *energy) {
    const struct frx_system *system = field->system;
    const size_t n = 3 * (size_t)system->n_bead;
    const int n_part = frx_system_n_part(system);
    double probe = 0; /* stays 0 unless something is infinite or NaN */
    for (size_t k = 0; k < n; k++) probe += 0 * positions[k];
    work->n_evaluation++;
    if (probe != 0) {
        for (size_t k = 0; k < n; k++) forces[k] = NAN;
        for (int p = 0; p < n_part; p++) work->part[p] = NAN;
        *energy = NAN;
        return FRX_OK;
    }
    memset(forces, 0, n * sizeof *forces);
    double *part = work->part;
    if (system->network) {
        FRX_TRY(frx_neighbours_find(&work->neighbours, positions));
        frx_stages_book(&work->stages, FRX_STAGE_NEIGHBOURS);
        if (field->network) {
            FRX_TRY(frx_table_eval(field->network, work->tabulated, system->beads.type, &work->neighbours,
                                   forces, &work->stages, part));
        } else {
            const struct frx_neighbours *list = &work->neighbours;
            const struct frx_pairs pairs = {list->n_pair, list->i, list->j, list->r, list->unit};
            *part = frx_reference_eval(system, work->reference, &pairs, NULL, NULL, forces, &work->stages);
        }
        part++;
    }
    for (int p = 0; p < system->n_prior; p++) *part++ = frx_prior_eval(&system->prior[p], positions, forces);
    frx_stages_book(&work->stages, FRX_STAGE_PRIORS);
    *energy = 0;
    for (int p = 0; p < n_part; p++) *energy += work->part[p];
    return FRX_OK;
}
