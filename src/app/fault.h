/* Faults on request, to see that a run ends as it should: the environment variable FRX_FAULT, read by
 * `flashrex run`, names one.
 *
 * - nan:replica=R,step=S: a velocity of replica R is not a number in step S;
 * - gpu-error:rank=P,step=S: the engine of rank P fails; on a GPU a kernel ends in a trap;
 * - lost:rank=P,step=S: rank P misses the first event after step S that moves configurations between ranks;
 * - hang:rank=P,step=S: rank P never gets beyond step S;
 * - stop:rank=P,step=S: rank P is stopped (SIGSTOP);
 * - kill:rank=P,step=S: rank P is killed (SIGKILL);
 * - slow:seconds=T: every step takes T seconds longer, on rank P (P + 1) T: no fault, and nothing may come of
 * it.
 *
 * They work on every engine and transport, which they wrap: classes that pass everything on and do harm when
 * it is due. Without FRX_FAULT the real ones are used and nothing costs anything. */
#ifndef FRX_APP_FAULT_H
#define FRX_APP_FAULT_H

#include "engine.h"
#include "transport.h"

/* Read FRX_FAULT for this rank. Errors: FRX_ERR_ARGUMENT if it is none of the above. Local. */
FRX_CHECKED enum frx_status frx_fault_read(int rank);

/* The class, or one that wraps it where a fault is asked for (one of each in a process). Local. */
const struct frx_engine_class *frx_fault_engine(const struct frx_engine_class *engine_class);
const struct frx_transport_class *frx_fault_transport(const struct frx_transport_class *transport_class);

#endif
