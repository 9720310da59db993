/* Which engine computes, in which precision and with how many threads. */
#ifndef FRX_APP_ENGINES_H
#define FRX_APP_ENGINES_H

#include "comm.h"
#include "config.h"
#include "engine.h"

/* Words of --engine and --precision, in the order of the config's enums; the last is NULL. */
extern const char *const frx_engine_words[], *const frx_precision_words[];

/* The engine that is asked for; `auto` is the GPU if this build has the engine and `device` is usable, else
 * the CPU. Makes `device` the thread's. Errors: FRX_ERR_UNSUPPORTED if it is not in this build,
 * FRX_ERR_DEVICE. Local. */
FRX_CHECKED enum frx_status frx_engine_choose(enum frx_config_engine wanted, int device,
                                              const struct frx_engine_class **engine_class);

/* The precision that is asked for; `auto` is single. Local. */
enum frx_precision frx_precision_choose(enum frx_config_precision wanted);
const char *frx_precision_name(enum frx_precision precision);

/* CPU threads for this rank: `wanted`, or for FRX_AUTO what OMP_NUM_THREADS says, else the cores that this
 * process may use, shared among the ranks of this host that may use the same ones. Collective. */
int frx_threads_choose(const struct frx_comm *comm, int64_t wanted);

#endif
