/* Priors on the GPU: energy and forces of every list of terms, all features and forms of docs/formats.md.
 *
 *   U_r = sum_t V_t(x_t(positions of replica r)),   f_ri = -dU_r/dx_ri
 *
 * No bead is written by two threads. Repulsion lists are long (tens of thousands of pairs), so each bead's
 * warp goes through its own row of partners and evaluates every pair once from either side. All other terms
 * are evaluated once, by one thread each, which leaves the force on each of its atoms in a place of its own;
 * the places of one bead lie side by side and its warp adds them up, in the order of the terms. */
#ifndef FRX_KERNELS_PRIOR_H
#define FRX_KERNELS_PRIOR_H

#include "device.h"
#include "system.h"

#include <stdint.h>

/* One term that is not a repulsion. */
struct frx_gpu_term {
    int32_t atom[4];
    int32_t place[4]; /* where the force on atom k goes, [0, n_place) */
    int16_t feature, form, n_param, order;
    int32_t param; /* first of its parameters */
};

/* Partner in a repulsion row. */
struct frx_gpu_partner {
    int32_t bead;
    float sigma6; /* Angstrom^6 */
};

struct frx_gpu_prior {
    int n_rep, n_bead, n_term, n_place, n_param, n_repulsion; /* n_repulsion: lists of that form */
    int64_t n_partner;

    /* host, owned */
    struct frx_gpu_term *host_term;
    float *host_param;
    int32_t *host_place_begin;            /* [n_bead + 1] */
    int64_t *host_row_begin;              /* [n_repulsion * n_bead + 1] */
    struct frx_gpu_partner *host_partner; /* [n_partner] */

    /* device, constant, as above */
    struct frx_gpu_term *term;
    float *param;
    int32_t *place_begin;
    int64_t *row_begin;
    struct frx_gpu_partner *partner;

    /* device, written by every evaluation */
    float *place_force; /* [n_rep][n_place][3] */
    float *term_energy; /* [n_rep][n_term] */
    float *row_energy;  /* [n_rep][n_repulsion][n_bead]; half of each pair */
};

/* Which energies belong to a prior of the system: item [n_rep][stride] float, of which `count` from `first`
 * on. */
struct frx_gpu_part {
    const float *item;
    int32_t stride, first, count;
    double shift; /* added to the sum */
};

/* Sort the terms of all priors on the host. Free with frx_gpu_prior_clear. Errors: FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_gpu_prior_create(const struct frx_system *system, int n_rep,
                                                 struct frx_gpu_prior *prior);
void frx_gpu_prior_clear(struct frx_gpu_prior *prior);

/* Take the device arrays; fill the constant ones (waits). Local. */
void frx_gpu_prior_layout(struct frx_gpu_prior *prior, struct frx_arena *arena);
FRX_CHECKED enum frx_status frx_gpu_prior_upload(struct frx_gpu_prior *prior, cudaStream_t stream);

/* part [system->n_prior], host: the energies of each prior, after the layout. Local. */
void frx_gpu_prior_parts(const struct frx_gpu_prior *prior, const struct frx_system *system,
                         struct frx_gpu_part *part);

/* positions [n_rep][n_bead][3] float, Angstrom, device; forces likewise, kcal/mol/A, device, overwritten.
 * Item energies are written if with_energy. Launches on stream. Local. */
FRX_CHECKED enum frx_status frx_gpu_prior_forces(const struct frx_gpu_prior *prior, const float *positions,
                                                 float *forces, int with_energy, cudaStream_t stream);

#endif
