/* Exchange on the device: configurations into and out of transport buffers, new temperatures.
 *
 * One block per slot. Lists that come from the host ride in the kernel's arguments, up to CHUNK slots a
 * launch, so that there is nothing to copy and nothing to wait for. A packed configuration is a header and
 * then 9 n_bead floats; its size is a multiple of 16 bytes. */
#include "state.h"

#include <math.h>

enum { BLOCK = 128, CHUNK = 256 };

struct header {
    double energy;
    uint32_t identity, unused;
};

struct slots {
    int slot[CHUNK];
};

struct temperatures {
    float thermal[CHUNK], velocity_scale[CHUNK];
};

size_t frx_packed_bytes(int n_bead) {
    return (sizeof(struct header) + 9 * (size_t)n_bead * sizeof(float) + 15) / 16 * 16;
}

static __global__ void pack_kernel(struct frx_gpu_state state, struct slots slots, char *buffer,
                                   size_t packed_bytes) {
    const int r = slots.slot[blockIdx.x], n = 3 * state.n_bead;
    char *place = buffer + blockIdx.x * packed_bytes;
    float *data = (float *)(place + sizeof(struct header));
    const size_t first = (size_t)r * n;
    for (int k = threadIdx.x; k < n; k += BLOCK) {
        data[k] = state.position[first + k];
        data[n + k] = state.velocity[first + k];
        data[2 * n + k] = state.force[first + k];
    }
    if (threadIdx.x == 0) *(struct header *)place = {state.energy[r], state.identity[r], 0};
    if (threadIdx.x == 0) /* padding */
        for (float *end = data + 3 * n; (char *)end < place + packed_bytes; end++) *end = 0;
}

static __global__ void unpack_kernel(struct frx_gpu_state state, struct slots slots, const char *buffer,
                                     size_t packed_bytes) {
    const int r = slots.slot[blockIdx.x], n = 3 * state.n_bead;
    const char *place = buffer + blockIdx.x * packed_bytes;
    const float *data = (const float *)(place + sizeof(struct header));
    const size_t first = (size_t)r * n;
    for (int k = threadIdx.x; k < n; k += BLOCK) {
        state.position[first + k] = data[k];
        state.velocity[first + k] = data[n + k];
        state.force[first + k] = data[2 * n + k];
    }
    if (threadIdx.x > 0) return;
    const struct header *header = (const struct header *)place;
    state.energy[r] = header->energy;
    state.identity[r] = header->identity;
    state.stale[r] = 0;
    state.divergence[r] = FRX_NOT_DIVERGED;
}

enum frx_status frx_pack(const struct frx_gpu_state *state, int n, const int *slot, char *buffer,
                         cudaStream_t stream) {
    const size_t packed_bytes = frx_packed_bytes(state->n_bead);
    for (int first = 0; first < n; first += CHUNK) {
        struct slots slots;
        const int count = n - first < CHUNK ? n - first : CHUNK;
        for (int k = 0; k < count; k++) slots.slot[k] = slot[first + k];
        pack_kernel<<<count, BLOCK, 0, stream>>>(*state, slots, buffer + first * packed_bytes, packed_bytes);
        FRX_TRY(FRX_LAUNCHED("pack"));
    }
    return FRX_OK;
}

enum frx_status frx_unpack(const struct frx_gpu_state *state, int n, const int *slot, const char *buffer,
                           cudaStream_t stream) {
    const size_t packed_bytes = frx_packed_bytes(state->n_bead);
    for (int first = 0; first < n; first += CHUNK) {
        struct slots slots;
        const int count = n - first < CHUNK ? n - first : CHUNK;
        for (int k = 0; k < count; k++) slots.slot[k] = slot[first + k];
        unpack_kernel<<<count, BLOCK, 0, stream>>>(*state, slots, buffer + first * packed_bytes,
                                                   packed_bytes);
        FRX_TRY(FRX_LAUNCHED("unpack"));
    }
    return FRX_OK;
}

static __global__ void temperature_kernel(struct frx_gpu_state state, struct temperatures temperatures,
                                          int first) {
    const int r = first + blockIdx.x;
    const float scale = temperatures.velocity_scale[blockIdx.x];
    if (threadIdx.x == 0) state.thermal[r] = temperatures.thermal[blockIdx.x];
    if (scale == 1) return;
    float *velocity = state.velocity + (size_t)r * state.n_bead * 3;
    for (int k = threadIdx.x; k < 3 * state.n_bead; k += BLOCK) velocity[k] *= scale;
}

enum frx_status frx_state_set_temperatures(const struct frx_gpu_state *state, const double *beta,
                                           const double *velocity_scale, cudaStream_t stream) {
    for (int first = 0; first < state->n_rep; first += CHUNK) {
        struct temperatures temperatures;
        const int count = state->n_rep - first < CHUNK ? state->n_rep - first : CHUNK;
        for (int k = 0; k < count; k++) {
            temperatures.thermal[k] = (float)(1 / sqrt(beta[first + k]));
            temperatures.velocity_scale[k] = velocity_scale ? (float)velocity_scale[first + k] : 1.0f;
        }
        temperature_kernel<<<count, BLOCK, 0, stream>>>(*state, temperatures, first);
        FRX_TRY(FRX_LAUNCHED("temperatures"));
    }
    return FRX_OK;
}
