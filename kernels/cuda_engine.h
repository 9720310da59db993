/* The CUDA engine: all replicas of a rank in one batch on one GPU. See src/core/engine.h for what it does. */
#ifndef FRX_KERNELS_CUDA_ENGINE_H
#define FRX_KERNELS_CUDA_ENGINE_H

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Precisions single and mixed. state is float, so that get_state and set_state change no bit. */
extern const struct frx_engine_class frx_cuda_engine;

/* Make `device` this thread's device after checking that it exists and that this build has code for it.
 * Errors: FRX_ERR_DEVICE (no driver, no such device), FRX_ERR_UNSUPPORTED (architecture). Local. */
FRX_CHECKED enum frx_status frx_device_select(int device);

/* Make this thread's device fail, as a broken GPU does: a kernel ends in a trap, after which no call of this
 * process succeeds on it. To test what follows. Errors: FRX_ERR_DEVICE, which is what it is for. Local. */
FRX_CHECKED enum frx_status frx_device_break(void);

#ifdef __cplusplus
}
#endif
#endif
