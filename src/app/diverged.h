/* What is left of a replica that diverged, for whoever wants to know why. */
#ifndef FRX_APP_DIVERGED_H
#define FRX_APP_DIVERGED_H

#include "session.h"

/* Write the present configuration of every slot that diverged into config.output: diverged_REPLICA.h5, a
 * frames file with the forces and the energy that the engine found, for `flashrex energy`; and, where all
 * coordinates are numbers, diverged_REPLICA.pdb to look at. Add to the error message where they are. What
 * cannot be written is left out: the replica is the trouble to report. Collective. */
void frx_diverged_save(const struct frx_session *session);

#endif
