/* Ladders: temperatures, and which rank holds which replica.
 *
 * A run has n_ladder independent ladders of the same n_rung temperatures. Rung 0 is the coldest. The global
 * slot of a place is g = ladder * n_rung + rung; rank p of P holds the contiguous slots
 * floor(p n / P) .. floor((p+1) n / P) - 1 of the n = n_ladder * n_rung slots. Blocks differ by at most one
 * slot and may cut a ladder anywhere. More ranks than slots are refused: an engine without replicas would
 * only waste its GPU. */
#ifndef FRX_EXCHANGE_LADDER_H
#define FRX_EXCHANGE_LADDER_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct frx_ladder {
    int n_ladder, n_rung;
    double *beta; /* [n_rung] mol/kcal, strictly decreasing; owned */
};

/* Make a ladder from betas, which are copied: beta [n_rung] mol/kcal. Errors: FRX_ERR_ARGUMENT naming the
 * offending values (count below 1, beta not finite or <= 0, equal or unsorted neighbours), FRX_ERR_MEMORY.
 * Local. */
FRX_CHECKED enum frx_status frx_ladder_create(int n_ladder, int n_rung, const double *beta,
                                              struct frx_ladder *ladder);

/* The same from temperatures, strictly ascending: kelvin [n_rung] K. Messages speak of temperatures. */
FRX_CHECKED enum frx_status frx_ladder_create_kelvin(int n_ladder, int n_rung, const double *kelvin,
                                                     struct frx_ladder *ladder);

/* Geometric temperatures T_k = t_min (t_max/t_min)^(k/(n_rung-1)), the ends exact, into kelvin [n_rung] K:
 * the first guess for a ladder, at constant acceptance where the heat capacity is constant. One rung: t_min
 * must equal t_max. Errors: FRX_ERR_ARGUMENT. Local. Source: Okabe, Kawata, Okamoto, Mikami, Chem. Phys.
 * Lett. 335, 435 (2001). */
FRX_CHECKED enum frx_status frx_ladder_geometric(double t_min, double t_max, int n_rung, double *kelvin);

/* Free what the ladder owns and zero it. Local. */
void frx_ladder_clear(struct frx_ladder *ladder);

/* Slots of all ladders together. Local. */
int frx_ladder_n_slot(const struct frx_ladder *ladder);

/* Global slots first .. first+n-1 are on this rank; n >= 1. Errors: FRX_ERR_ARGUMENT if there are more ranks
 * than slots. Local, the same answer everywhere. */
FRX_CHECKED enum frx_status frx_slots_of_rank(int n_slot, int n_rank, int rank, int *first, int *n);

/* Rank that holds a global slot. Local. */
int frx_rank_of_slot(int n_slot, int n_rank, int slot);

#ifdef __cplusplus
}
#endif
#endif
