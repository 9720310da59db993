/* The CUDA engine: all replicas of a rank in one batch on one GPU. See src/core/engine.h for what it does. */
#ifndef FRX_KERNELS_CUDA_ENGINE_H
#define FRX_KERNELS_CUDA_ENGINE_H

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Precisions single and mixed. state is float, so that get_state and set_state change no bit. */
extern const struct frx_engine_class frx_cuda_engine;

#ifdef __cplusplus
}
#endif
#endif
