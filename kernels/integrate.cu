/* BAOAB Langevin dynamics; the equations are in engine.h.
 *
 * integrate_kernel: one thread per bead and replica, three components each. The forces of network and priors
 * arrive in arrays of their own and are added here. refresh_kernel, velocity_kernel: likewise one thread per
 * bead. No shared memory; any size. */
#include "integrate.cuh"

enum { BLOCK = 128 };

static __device__ float3 total_force(const struct frx_gpu_state &state, size_t bead) {
    float3 force = state.network_force ? load3(state.network_force, bead) : make_float3(0, 0, 0);
    return state.prior_force ? force + load3(state.prior_force, bead) : force;
}

template <int phase>
static __global__ void __launch_bounds__(BLOCK)
    integrate_kernel(struct frx_gpu_state state, struct frx_integrator integrator, int offset) {
    const int k = blockIdx.x * BLOCK + threadIdx.x;
    if (k >= state.n_rep * state.n_bead) return;
    const int r = k / state.n_bead, i = k - r * state.n_bead;
    const int64_t step = *state.step + offset;
    const float inverse_mass = state.inverse_mass[i];
    float3 velocity = load3(state.velocity, k), force;
    if (phase == FRX_PHASE_BEGIN) {
        force = load3(state.force, k);
    } else {
        force = total_force(state, k);
        store3(state.force, k, force);
        if (!all_finite(force))
            frx_record_divergence(&state.divergence[r], phase == FRX_PHASE_TURN ? step - 1 : step, i);
        velocity = half_kick(integrator, inverse_mass, force, velocity);
    }
    if (phase != FRX_PHASE_FINISH) {
        float3 position = load3(state.position, k), noise = {};
        velocity = half_kick(integrator, inverse_mass, force, velocity);
        if (integrator.noise > 0) noise = draw3(integrator.seed, FRX_RNG_NOISE, state.identity[r], step, i);
        if (!drift(integrator, inverse_mass, state.thermal[r], noise, &position, &velocity))
            frx_record_divergence(&state.divergence[r], step, i);
        store3(state.position, k, position);
    }
    store3(state.velocity, k, velocity);
}

enum frx_status frx_integrate(const struct frx_gpu_state *state, const struct frx_integrator *integrator,
                              enum frx_phase phase, int offset, cudaStream_t stream) {
    const int grid = (state->n_rep * state->n_bead + BLOCK - 1) / BLOCK;
    switch (phase) {
    case FRX_PHASE_BEGIN:
        integrate_kernel<FRX_PHASE_BEGIN><<<grid, BLOCK, 0, stream>>>(*state, *integrator, offset);
        break;
    case FRX_PHASE_TURN:
        integrate_kernel<FRX_PHASE_TURN><<<grid, BLOCK, 0, stream>>>(*state, *integrator, offset);
        break;
    case FRX_PHASE_FINISH:
        integrate_kernel<FRX_PHASE_FINISH><<<grid, BLOCK, 0, stream>>>(*state, *integrator, offset);
        break;
    }
    return FRX_LAUNCHED("integration");
}

static __global__ void set_step_kernel(int64_t *destination, int64_t step) {
    *destination = step;
}

enum frx_status frx_state_set_step(const struct frx_gpu_state *state, int64_t step, cudaStream_t stream) {
    set_step_kernel<<<1, 1, 0, stream>>>(state->step, step);
    return FRX_LAUNCHED("step counter");
}

static __global__ void refresh_kernel(struct frx_gpu_state state) {
    const int r = blockIdx.x;
    if (!state.stale[r]) return;
    for (int i = threadIdx.x; i < state.n_bead; i += BLOCK) {
        const size_t k = (size_t)r * state.n_bead + i;
        const float3 force = total_force(state, k);
        store3(state.force, k, force);
        if (!all_finite(force) || !all_finite(load3(state.position, k)))
            frx_record_divergence(&state.divergence[r], -1, i);
    }
    __syncthreads(); /* everyone has seen the flag and left its findings */
    if (threadIdx.x > 0) return;
    double energy = 0;
    for (int p = 0; p < state.n_part; p++) energy += state.part_energy[(size_t)r * state.n_part + p];
    if (!isfinite(energy)) frx_record_divergence(&state.divergence[r], -1, FRX_NO_BEAD);
    state.energy[r] = frx_has_diverged(&state.divergence[r]) ? NAN : energy;
    state.stale[r] = 0;
}

enum frx_status frx_state_refresh(const struct frx_gpu_state *state, cudaStream_t stream) {
    refresh_kernel<<<state->n_rep, BLOCK, 0, stream>>>(*state);
    return FRX_LAUNCHED("refresh");
}

static __global__ void velocity_kernel(struct frx_gpu_state state, uint64_t seed) {
    const int k = blockIdx.x * BLOCK + threadIdx.x;
    if (k >= state.n_rep * state.n_bead) return;
    const int r = k / state.n_bead, i = k - r * state.n_bead;
    const float width = __fmul_rn(state.thermal[r], __fsqrt_rn(state.inverse_mass[i]));
    const float3 normal = draw3(seed, FRX_RNG_VELOCITY, state.identity[r], 0, i);
    store3(state.velocity, k, width * normal);
}

enum frx_status frx_state_draw_velocities(const struct frx_gpu_state *state, uint64_t seed,
                                          cudaStream_t stream) {
    const int grid = (state->n_rep * state->n_bead + BLOCK - 1) / BLOCK;
    velocity_kernel<<<grid, BLOCK, 0, stream>>>(*state, seed);
    return FRX_LAUNCHED("velocities");
}
