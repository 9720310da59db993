/* A session: config, system, ladder and engine of a run, made ready on all ranks. Used by `run` and `check`.
 */
#ifndef FRX_APP_SESSION_H
#define FRX_APP_SESSION_H

#include "comm.h"
#include "config.h"
#include "devices.h"
#include "engine.h"
#include "exchange.h"
#include "ladder.h"

#include <stdio.h>

/* frx_agree for what all ranks read and decide alike: the message needs no rank in front of it. Collective.
 */
FRX_CHECKED enum frx_status frx_agree_on_input(const struct frx_comm *comm, enum frx_status status);

struct frx_session {
    const struct frx_comm *comm;
    struct frx_config config;
    struct frx_system system;
    struct frx_ladder ladder;
    int n_slot, first_slot, n_local; /* replicas; those of this rank: first_slot .. first_slot+n_local-1 */
    struct frx_devices devices;      /* GPUs of all ranks */
    const struct frx_engine_class *engine_class;
    const struct frx_transport_class *transport; /* of configurations */
    struct frx_engine_options engine_options;
    struct frx_engine *engine; /* NULL before frx_session_start */
};

/* Read config (arguments as for frx_config_load) and system, lay out replicas on ranks, choose engine, GPUs
 * and transport. *session is owned by the caller, also after a failure. Errors: those of frx_config_load,
 * frx_system_read, frx_devices_choose and frx_engine_choose; FRX_ERR_ARGUMENT for a transport that cannot be,
 * for a start structure that is not there or more ranks than replicas; agreed on. Collective. */
FRX_CHECKED enum frx_status frx_session_open(const struct frx_comm *comm, int n_argument,
                                             char *const *argument, struct frx_session *session);

/* Make the engine and put every replica at its starting structure, centred; replica i has identity i. Errors:
 * those of the engine; agreed on. Collective. */
FRX_CHECKED enum frx_status frx_session_start(struct frx_session *session);

/* Free everything; a zeroed session is fine. Local. */
void frx_session_close(struct frx_session *session);

/* Say what will be run (rank 0's `out`) and warn of what is allowed but probably not meant. Local. */
void frx_session_describe(const struct frx_session *session, FILE *out);

/* How this session's replicas exchange, for frx_exchange_create. Local. */
struct frx_exchange_options frx_session_exchange_options(const struct frx_session *session);

/* Steps at the start of the run in which the ladder is adapted; 0: none. Local. */
int64_t frx_session_adapt_steps(const struct frx_session *session);

/* Temperature of a rung, K: as the config has it or, if the ladder was adapted, where it is now. Local. */
double frx_session_kelvin(const struct frx_session *session, int rung);

/* Simulated time of one replica after n_step steps, ns. Local. */
double frx_session_ns(const struct frx_session *session, int64_t n_step);

/* Whether replicas exchange at all. Local. */
int frx_session_exchanges(const struct frx_session *session);

#endif
