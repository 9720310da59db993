/* Prior kernels; what they do for a term and for a bead is in prior.cuh.
 *
 *   term_kernel: one thread per (term, replica). x and dx/dr of the feature, V and dV/dx of the form, the
 * force -V'(x) dx/dr_k of every atom k to its place; V to term_energy. bead_kernel: one warp per (bead,
 * replica). Sums the places of the bead, then goes through its repulsion partners, lane by lane: V = sigma^6
 * / r^6, force 6 V / r^2 (r_i - r_j); half of V to row_energy. Fixed order throughout. No shared memory; any
 * size. */
#include "prior.cuh"

enum { TERM_BLOCK = 128, BEAD_WARPS = 8 };

static __global__ void term_kernel(struct frx_gpu_prior prior, const float *__restrict__ positions,
                                   int with_energy) {
    const int t = blockIdx.x * blockDim.x + threadIdx.x, r = blockIdx.y;
    if (t >= prior.n_term) return;
    const float v = prior_term(prior, t, positions + (size_t)r * prior.n_bead * 3,
                               prior.place_force + (size_t)r * prior.n_place * 3);
    if (with_energy) prior.term_energy[(size_t)r * prior.n_term + t] = v;
}

static __global__ void bead_kernel(struct frx_gpu_prior prior, const float *__restrict__ positions,
                                   float *__restrict__ forces, int with_energy) {
    const int i = blockIdx.x * BEAD_WARPS + threadIdx.x / 32, r = blockIdx.y;
    if (i >= prior.n_bead) return;
    const float3 force = prior_bead(
        prior, i, positions + (size_t)r * prior.n_bead * 3, prior.place_force + (size_t)r * prior.n_place * 3,
        with_energy ? prior.row_energy + (size_t)r * prior.n_repulsion * prior.n_bead : NULL);
    if (threadIdx.x % 32 == 0) store3(forces, (size_t)r * prior.n_bead + i, force);
}

enum frx_status frx_gpu_prior_forces(const struct frx_gpu_prior *prior, const float *positions, float *forces,
                                     int with_energy, cudaStream_t stream) {
    const dim3 term_grid((prior->n_term + TERM_BLOCK - 1) / TERM_BLOCK, prior->n_rep);
    const dim3 bead_grid((prior->n_bead + BEAD_WARPS - 1) / BEAD_WARPS, prior->n_rep);
    if (prior->n_term > 0) {
        term_kernel<<<term_grid, TERM_BLOCK, 0, stream>>>(*prior, positions, with_energy);
        FRX_TRY(FRX_LAUNCHED("prior terms"));
    }
    bead_kernel<<<bead_grid, BEAD_WARPS * 32, 0, stream>>>(*prior, positions, forces, with_energy);
    return FRX_LAUNCHED("prior forces");
}
