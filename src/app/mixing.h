/* How well a run mixes: in numbers for summary and files, and in words when it is stuck. Formulas:
 * statistics.h and adapt.h. */
#ifndef FRX_APP_MIXING_H
#define FRX_APP_MIXING_H

#include "session.h"
#include "statistics.h"
#include "trajectory.h"

#define FRX_ADVICE_SIZE 320

/* Of one ladder or of all pooled. Pair p is that of rungs p and p+1. */
struct frx_mixing {
    int n_rung, n_ladder; /* ladders that are pooled */
    int64_t n_event, n_round_trip, n_restart;
    double *acceptance;         /* [n_rung-1] average probability */
    double *barrier;            /* [n_rung] Lambda from the coldest rung */
    double *density;            /* [n_rung-1] rejection per unit of beta, kcal/mol */
    double *up_fraction;        /* [n_rung] f */
    double observed, predicted; /* round trips per event and ladder */
    int weakest, steepest;      /* pairs: with the lowest acceptance, and where f falls most */
};

/* Compute from the sums so far; ladder may be FRX_ALL_LADDERS. *mixing is owned by the caller, also after a
 * failure. Errors: FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_mixing_read(const struct frx_session *session,
                                            const struct frx_statistics *statistics, int ladder,
                                            struct frx_mixing *mixing);
void frx_mixing_clear(struct frx_mixing *mixing);

/* Write the same, ladder by ladder, and what is known of each replica into the newest segment. Errors: those
 * of frx_trajectory_write_mixing, FRX_ERR_MEMORY; agreed on. Collective. */
FRX_CHECKED enum frx_status frx_mixing_save(const struct frx_session *session,
                                            const struct frx_statistics *statistics,
                                            struct frx_trajectory *trajectory);

/* Whether the ladder is stuck, as far as can be told by now, and then which pair and what to change, as text
 * for people. Local. */
int frx_mixing_advice(const struct frx_session *session, const struct frx_mixing *mixing,
                      char text[FRX_ADVICE_SIZE]);

/* Acceptance to aim at, 1.5 to 2 rungs per unit of the barrier; and above which replicas are better spent on
 * another ladder, if all pairs are above. */
#define FRX_GOOD_ACCEPTANCE     0.45
#define FRX_TOO_GOOD_ACCEPTANCE 0.75

/* How many rungs this ladder needs, if it has twice as many or more and all exchange easily; else 0. Local.
 */
int frx_mixing_enough(const struct frx_mixing *mixing);

#endif
