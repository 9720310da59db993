/* Neighbour lists by brute force: every bead looks at all others.
 *
 * One warp per (bead, replica); a lane looks at every 32nd bead, and a ballot puts the ones in range behind
 * each other, in ascending order. 64 replicas of 269 beads are 4.6 million distances, a few microseconds; the
 * work grows as n_bead^2, which is fine up to some thousand beads. A coordinate that is not a number is
 * nobody's neighbour. */
#include "neighbours.h"

#include "vector.h"

enum { WARPS = 8 };

void frx_neighbours_layout(struct frx_neighbours *neighbours, struct frx_arena *arena) {
    const size_t n = (size_t)neighbours->n_rep * neighbours->n_bead;
    neighbours->capacity = neighbours->n_bead - 1;
    FRX_TAKE(arena, neighbours->list, n * neighbours->capacity);
    FRX_TAKE(arena, neighbours->n_neighbour, n);
}

static __global__ void neighbour_kernel(struct frx_neighbours neighbours,
                                        const float *__restrict__ positions) {
    const int i = blockIdx.x * WARPS + threadIdx.x / 32, lane = threadIdx.x % 32, n_bead = neighbours.n_bead;
    frx_await_inputs();
    if (i >= n_bead) return;
    const size_t bead = (size_t)blockIdx.y * n_bead + i;
    const float *x_r = positions + (size_t)blockIdx.y * n_bead * 3;
    const float3 x_i = load3(x_r, i);
    uint16_t *list = neighbours.list + bead * neighbours.capacity;
    int n = 0;
    for (int first = 0; first < n_bead; first += 32) {
        const int j = first + lane;
        int near = 0;
        if (j < n_bead && j != i) {
            const float3 d = x_i - load3(x_r, j);
            const float r = __fsqrt_rn(dot(d, d));
            near = r >= neighbours.r_lo && r < neighbours.r_hi;
        }
        const unsigned int all = __ballot_sync(0xffffffffu, near);
        if (near) list[n + __popc(all & ((1u << lane) - 1))] = (uint16_t)j;
        n += __popc(all);
    }
    if (lane == 0) neighbours.n_neighbour[bead] = n;
}

enum frx_status frx_neighbours_build(const struct frx_neighbours *neighbours, const float *positions,
                                     cudaStream_t stream) {
    const dim3 grid((neighbours->n_bead + WARPS - 1) / WARPS, neighbours->n_rep);
    return frx_launch("neighbours", neighbour_kernel, grid, WARPS * 32, 0, stream, *neighbours, positions);
}
