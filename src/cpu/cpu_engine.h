/* The CPU engine: double precision with the filter network as reference, single precision with tables;
 * threads share out the replicas. core/engine.h says what it does. State is double in both precisions. */
#ifndef FRX_CPU_ENGINE_H
#define FRX_CPU_ENGINE_H

#include "engine.h"

extern const struct frx_engine_class frx_cpu_engine;

#endif
