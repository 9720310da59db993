/* Pair list and assembly of the forces for the mixed-precision network.
 *
 * List: one warp per row i walks over all beads j in chunks of 32 twice - count, then place - so the order
 * within a tile is ascending j and depends on nothing else. r^2 < r_hi^2 strictly; a distance that is not a
 * number is no neighbour. s(r) = s0 + s1 r + s2 exp2(rate r);  tile = floor(s / 13);  coordinate = s - 13
 * tile Shared memory: the replica's positions, 12 N bytes, and the counters of each warp.
 *
 * Forces: f_i = -(1/scale) sum_j (q_ij + q_ji) ds/dr(r_ij) (x_i - x_j)/r_ij; one block takes 32 beads i of a
 * replica, and a 32 x 32 block of q is turned in shared memory so that both q_ij and q_ji are read in whole
 * lines. Lane = j; the sum over lanes at the end has a fixed order. */
#include "device.h"
#include "mixed.h"

enum { list_warps = 8, bank_classes = 8, force_warps = 8, force_tile = 32 };

/* Squared distance with its rounding spelled out: list and forces must agree on who is inside the cutoff. */
static __device__ __forceinline__ float squared_distance(float dx, float dy, float dz) {
    return __fmaf_rn(dz, dz, __fmaf_rn(dy, dy, __fmul_rn(dx, dx)));
}

static __device__ __forceinline__ void load_positions(float *shared, const float *positions, int n_bead) {
    for (int k = threadIdx.x; k < 3 * n_bead; k += blockDim.x) shared[k] = positions[k];
}

static __device__ __forceinline__ float coordinate_of(const struct frx_tile_map &map, int n_tile, float r2,
                                                      int *tile) {
    const float r = fmaxf(sqrtf(r2), map.r_lo);
    float s = map.s0 + map.s1 * r + map.s2 * exp2f(map.rate * r);
    s = fminf(fmaxf(s, 0.0f), (float)(FRX_TILE_INTERVAL * n_tile));
    *tile = min((int)(s * (1.0f / FRX_TILE_INTERVAL)), n_tile - 1);
    return fmaxf(s - (float)(FRX_TILE_INTERVAL * *tile), 0.0f); /* rounding of the quotient may overshoot */
}

/* Place of an entry within its tile: entries are dealt out one bead class (j mod 8) after the other, so that
 * eight in a row lie in different banks of the feature rows. `turn` entries of its class came before it;
 * count [8] is what each class has. */
static __device__ __forceinline__ int dealt_place(const int *count, int turn, int bead_class) {
    int place = 0;
#pragma unroll
    for (int k = 0; k < bank_classes; k++) place += min(count[k], turn + (k < bead_class ? 1 : 0));
    return place;
}

static __global__ void __launch_bounds__(32 * list_warps)
    pair_list_kernel(struct frx_pair_list list, struct frx_tile_map map, int n_tile, int n_bead,
                     const float *__restrict__ positions) {
    extern __shared__ float x[]; /* [n_bead][3] */
    __shared__ __align__(16) int counts[list_warps][FRX_TILE_MAX * bank_classes],
        turns[list_warps][FRX_TILE_MAX * bank_classes];
    __shared__ int starts[list_warps][FRX_TILE_MAX];
    const int replica = blockIdx.y, lane = threadIdx.x & 31, warp = threadIdx.x >> 5,
              i = blockIdx.x * list_warps + warp;
    load_positions(x, positions + (size_t)replica * n_bead * 3, n_bead);
    __syncthreads();
    if (i >= n_bead) return;
    const float cut2 = map.r_hi * map.r_hi, xi = x[3 * i], yi = x[3 * i + 1], zi = x[3 * i + 2];
    int *count = counts[warp], *turn = turns[warp], *start = starts[warp];
    for (int k = lane; k < FRX_TILE_MAX * bank_classes; k += 32) count[k] = turn[k] = 0;
    __syncwarp();
    for (int base = 0; base < n_bead; base += 32) {
        const int j = base + lane;
        if (j >= n_bead || j == i) continue;
        const float r2 = squared_distance(xi - x[3 * j], yi - x[3 * j + 1], zi - x[3 * j + 2]);
        int tile;
        if (!(r2 < cut2)) continue;
        coordinate_of(map, n_tile, r2, &tile);
        atomicAdd(&count[tile * bank_classes + j % bank_classes],
                  1); /* integers: the order does not matter */
    }
    __syncwarp();
    const size_t row = (size_t)replica * n_bead + i;
    float *coordinate = list.coordinate + row * list.capacity;
    uint16_t *neighbour = list.neighbour + row * list.capacity;
    int n_entry = 0; /* of tile `lane` */
    for (int k = 0; k < bank_classes && lane < n_tile; k++) n_entry += count[lane * bank_classes + k];
    const int filled = (n_entry + 15) & ~15;
    int end = filled; /* running sum over tiles */
    for (int step = 1; step < FRX_TILE_MAX; step <<= 1) {
        const int below = __shfl_up_sync(0xffffffffu, end, step);
        if (lane >= step) end += below;
    }
    if (lane < FRX_TILE_MAX) {
        list.tile_end[row * FRX_TILE_MAX + lane] = (uint16_t)(end >> 4);
        start[lane] = end - filled;
        for (int k = end - filled + n_entry; k < end; k++) {
            coordinate[k] = 0;
            neighbour[k] = (uint16_t)n_bead;
        }
    }
    __syncwarp();
    for (int base = 0; base < n_bead; base += 32) {
        const int j = base + lane;
        int tile = -1;
        float u = 0;
        if (j < n_bead && j != i) {
            const float r2 = squared_distance(xi - x[3 * j], yi - x[3 * j + 1], zi - x[3 * j + 2]);
            if (r2 < cut2) u = coordinate_of(map, n_tile, r2, &tile);
        }
        const int bead_class = j % bank_classes, key = tile * bank_classes + bead_class;
        const unsigned peers = __match_any_sync(0xffffffffu, tile < 0 ? -1 : key);
        const int rank = __popc(peers & ((1u << lane) - 1)), before = tile >= 0 ? turn[key] : 0;
        __syncwarp();
        if (tile >= 0) {
            if (rank == 0) turn[key] = before + __popc(peers);
            const int place =
                start[tile] + dealt_place(count + tile * bank_classes, before + rank, bead_class);
            coordinate[place] = u;
            neighbour[place] = (uint16_t)j;
        }
        __syncwarp();
    }
}

static __global__ void __launch_bounds__(32 * force_warps)
    pair_forces_kernel(struct frx_tile_map map, int n_bead, const float *__restrict__ positions,
                       const float *__restrict__ slopes, int slope_stride, float inverse_scale,
                       float *forces) {
    extern __shared__ float x[]; /* [n_bead][3] */
    __shared__ float turned[force_tile][force_tile + 1];
    enum { rows_per_warp = force_tile / force_warps };
    const int replica = blockIdx.y, lane = threadIdx.x & 31, warp = threadIdx.x >> 5,
              first = blockIdx.x * force_tile;
    const float *q = slopes + (size_t)replica * n_bead * slope_stride;
    load_positions(x, positions + (size_t)replica * n_bead * 3, n_bead);
    const float cut2 = map.r_hi * map.r_hi;
    float f[rows_per_warp][3] = {}, ahead[rows_per_warp], own[rows_per_warp];
    /* q[base + k][first + lane], to be turned, and q[i][base + lane]; fetched one block of beads ahead */
    const auto fetch = [&](int base) {
#pragma unroll
        for (int k = 0; k < rows_per_warp; k++) {
            const int j = base + warp + force_warps * k, i = first + warp * rows_per_warp + k;
            ahead[k] =
                j < n_bead && first + lane < slope_stride ? q[(size_t)j * slope_stride + first + lane] : 0;
            own[k] = i < n_bead && base + lane < slope_stride ? q[(size_t)i * slope_stride + base + lane] : 0;
        }
    };
    fetch(0);
    for (int base = 0; base < n_bead; base += force_tile) {
        __syncthreads();
        float mine[rows_per_warp];
#pragma unroll
        for (int k = 0; k < rows_per_warp; k++) {
            turned[warp + force_warps * k][lane] = ahead[k];
            mine[k] = own[k];
        }
        __syncthreads();
        if (base + force_tile < n_bead) fetch(base + force_tile);
        const int j = base + lane;
#pragma unroll
        for (int k = 0; k < rows_per_warp; k++) {
            const int i = first + warp * rows_per_warp + k;
            if (i >= n_bead || j >= n_bead || i == j) continue;
            const float dx = x[3 * i] - x[3 * j], dy = x[3 * i + 1] - x[3 * j + 1],
                        dz = x[3 * i + 2] - x[3 * j + 2];
            const float r2 = squared_distance(dx, dy, dz);
            if (!(r2 < cut2)) continue;
            const float r = sqrtf(r2);
            if (r < map.r_lo) continue; /* the table is constant there */
            const float ds = map.s1 + map.s2 * map.rate * 0.69314718f * exp2f(map.rate * r);
            const float pull = (mine[k] + turned[lane][warp * rows_per_warp + k]) * ds / r;
            f[k][0] -= pull * dx;
            f[k][1] -= pull * dy;
            f[k][2] -= pull * dz;
        }
    }
#pragma unroll
    for (int k = 0; k < rows_per_warp; k++) {
        const int i = first + warp * rows_per_warp + k;
#pragma unroll
        for (int d = 0; d < 3; d++)
            for (int step = 16; step; step >>= 1) f[k][d] += __shfl_xor_sync(0xffffffffu, f[k][d], step);
        if (i < n_bead && lane < 3)
            forces[((size_t)replica * n_bead + i) * 3 + lane] = inverse_scale * (lane == 0   ? f[k][0]
                                                                                 : lane == 1 ? f[k][1]
                                                                                             : f[k][2]);
    }
}

enum frx_status frx_pair_list_launch(const struct frx_pair_list *list, const struct frx_tile_map *map,
                                     int n_tile, int n_rep, int n_bead, const float *positions,
                                     cudaStream_t stream) {
    const dim3 grid((n_bead + list_warps - 1) / list_warps, n_rep);
    pair_list_kernel<<<grid, 32 * list_warps, 12 * (size_t)n_bead, stream>>>(*list, *map, n_tile, n_bead,
                                                                             positions);
    return FRX_LAUNCHED("pair_list_kernel");
}

enum frx_status frx_pair_forces_launch(const struct frx_tile_map *map, int n_rep, int n_bead,
                                       const float *positions, const float *slopes, int slope_stride,
                                       float inverse_scale, float *forces, cudaStream_t stream) {
    const dim3 grid((n_bead + force_tile - 1) / force_tile, n_rep);
    pair_forces_kernel<<<grid, 32 * force_warps, 12 * (size_t)n_bead, stream>>>(
        *map, n_bead, positions, slopes, slope_stride, inverse_scale, forces);
    return FRX_LAUNCHED("pair_forces_kernel");
}
