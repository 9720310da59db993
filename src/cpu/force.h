/* The force field on the CPU: network (reference or tabulated) and priors of one configuration, with what the
 * threads share (frx_force_field) and what each has for itself (frx_force_work). */
#ifndef FRX_CPU_FORCE_H
#define FRX_CPU_FORCE_H

#include "engine.h"
#include "filter_table.h"
#include "neighbours.h"
#include "network_reference.h"
#include "network_table.h"
#include "stages.h"

struct frx_force_field {
    const struct frx_system *system;
    struct frx_filter_table table;     /* its errors and grid; empty in double precision */
    struct frx_table_network *network; /* NULL in double precision or without a network */
};

struct frx_force_work {
    struct frx_neighbours neighbours;
    struct frx_reference_work *reference; /* one of these two, if there is a network */
    struct frx_table_work *tabulated;
    double *part;   /* [n_part] of the latest evaluation, kcal/mol */
    double *forces; /* [n_bead][3] for whoever wants the energy alone */
    struct frx_stages stages;
    int64_t n_evaluation;
};

/* Prepare the force field of a validated system, which must outlive it. table_tolerance 0: the default. Owned
 * by the caller, cleared with frx_force_field_clear. Errors: FRX_ERR_UNSUPPORTED (mixed precision),
 * FRX_ERR_MEMORY, FRX_ERR_MODEL (table). Local. */
FRX_CHECKED enum frx_status frx_force_field_create(const struct frx_system *system,
                                                   enum frx_precision precision, double table_tolerance,
                                                   struct frx_force_field *field);
void frx_force_field_clear(struct frx_force_field *field);

/* Room for one thread's evaluations. Errors: FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_force_work_create(const struct frx_force_field *field,
                                                  struct frx_force_work *work);
void frx_force_work_clear(struct frx_force_work *work);

/* Bytes behind a force field and behind one work. Local. */
size_t frx_force_field_bytes(const struct frx_force_field *field);
size_t frx_force_work_bytes(const struct frx_force_field *field);

/* Potential energy and forces at positions; arrays [n_bead][3] double, Angstrom and kcal/mol/A. The energy is
 * the sum of work->part in order. Everything is NaN when a position is not finite. The clock of work->stages
 * must be running. Errors: FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_force_eval(const struct frx_force_field *field, struct frx_force_work *work,
                                           const double *positions, double *forces, double *energy);

#endif
