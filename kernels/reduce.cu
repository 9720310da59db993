/* Sums over a replica in a fixed order, in double: energies, kinetic energy, and the centre of geometry.
 *
 *   U_rp = shift_p + sum_{k < count_p} item_p[r][first_p + k],   U_r = sum_p U_rp
 *
 * One block per replica. energy_kernel: one warp per part, in turn; lane l adds items l, l + 32, .. and the
 * lanes are added as a tree; thread 0 adds the parts in order. kinetic_kernel, centre_kernel: thread t adds
 * beads t, t + 128, .. No floating-point atomics; shared memory: a few words; any size. */
#include "state.h"
#include "vector.h"

enum { BLOCK = 128, N_WARP = BLOCK / 32 };

static __global__ void energy_kernel(struct frx_gpu_state state, int total, int offset) {
    const int r = blockIdx.x, lane = threadIdx.x % 32;
    double *part_energy = state.part_energy + (size_t)r * state.n_part;
    for (int p = threadIdx.x / 32; p < state.n_part; p += N_WARP) {
        const struct frx_gpu_part part = state.part[p];
        const float *item = part.item + (size_t)r * part.stride + part.first;
        double sum = 0;
        for (int k = lane; k < part.count; k += 32) sum += item[k];
        sum = warp_sum(sum);
        if (lane == 0) part_energy[p] = sum + part.shift;
    }
    __syncthreads();
    if (!total || threadIdx.x > 0) return;
    double energy = 0;
    for (int p = 0; p < state.n_part; p++) energy += part_energy[p];
    if (!isfinite(energy)) frx_record_divergence(&state.divergence[r], *state.step + offset, FRX_NO_BEAD);
    state.energy[r] = frx_has_diverged(&state.divergence[r]) ? NAN : energy;
}

enum frx_status frx_reduce_energies(const struct frx_gpu_state *state, int total, int offset,
                                    cudaStream_t stream) {
    energy_kernel<<<state->n_rep, BLOCK, 0, stream>>>(*state, total, offset);
    return FRX_LAUNCHED("energies");
}

static __global__ void centre_kernel(struct frx_gpu_state state) {
    __shared__ double warp_total[3][N_WARP];
    float *position = state.position + (size_t)blockIdx.x * state.n_bead * 3;
    double sum[3] = {0, 0, 0};
    for (int i = threadIdx.x; i < state.n_bead; i += BLOCK)
        for (int k = 0; k < 3; k++) sum[k] += position[3 * i + k];
    for (int k = 0; k < 3; k++) {
        sum[k] = warp_sum(sum[k]);
        if (threadIdx.x % 32 == 0) warp_total[k][threadIdx.x / 32] = sum[k];
    }
    __syncthreads();
    float centre[3];
    for (int k = 0; k < 3; k++) {
        double all = 0;
        for (int w = 0; w < N_WARP; w++) all += warp_total[k][w];
        centre[k] = (float)(all / state.n_bead);
    }
    for (int i = threadIdx.x; i < state.n_bead; i += BLOCK)
        for (int k = 0; k < 3; k++) position[3 * i + k] -= centre[k];
}

enum frx_status frx_state_recentre(const struct frx_gpu_state *state, cudaStream_t stream) {
    centre_kernel<<<state->n_rep, BLOCK, 0, stream>>>(*state);
    return FRX_LAUNCHED("recentring");
}

static __global__ void kinetic_kernel(struct frx_gpu_state state, double *kinetic) {
    __shared__ double warp_total[N_WARP];
    const float *velocity = state.velocity + (size_t)blockIdx.x * state.n_bead * 3;
    double sum = 0;
    for (int i = threadIdx.x; i < state.n_bead; i += BLOCK) {
        const double x = velocity[3 * i], y = velocity[3 * i + 1], z = velocity[3 * i + 2];
        sum += 0.5 * (x * x + y * y + z * z) / state.inverse_mass[i];
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) warp_total[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x > 0) return;
    sum = 0;
    for (int w = 0; w < N_WARP; w++) sum += warp_total[w];
    kinetic[blockIdx.x] = sum;
}

enum frx_status frx_state_kinetic(const struct frx_gpu_state *state, double *kinetic, cudaStream_t stream) {
    kinetic_kernel<<<state->n_rep, BLOCK, 0, stream>>>(*state, kinetic);
    return FRX_LAUNCHED("kinetic energies");
}
