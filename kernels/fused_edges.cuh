/* Pairs of beads in a fused step: who is near whom, filters, messages, slopes, forces.
 *
 * Pairs i < j of a replica have a number, row by row; those within reach are listed in that order, and every
 * bead has its neighbours in ascending order. Filters W and W' of the pairs within reach are evaluated once
 * per interaction and pass, a warp per pair, one channel per lane, from the float table in L2, and left in
 * shared memory. All sums run in the order of the lists. */
#ifndef FRX_KERNELS_FUSED_EDGES_CUH
#define FRX_KERNELS_FUSED_EDGES_CUH

#include "fused_block.cuh"

/* Lists of replica p (of this cluster), by one warp. */
template <int cluster>
static __device__ __forceinline__ void find_pairs(const fused_block<cluster> &b, int p) {
    const struct frx_fused_args &a = b.args;
    const struct frx_fused_layout &at = a.layout;
    const int lane = threadIdx.x % 32, first = p * a.n_pair;
    const float *x_r = b.at(at.position) + 3 * p * a.n_bead;
    uint32_t near_words[(FRX_FUSED_PAIR(FRX_FUSED_MAX_BEAD) + 31) / 32];
    int n = 0;
#pragma unroll
    for (int word = 0; word < (FRX_FUSED_PAIR(FRX_FUSED_MAX_BEAD) + 31) / 32; word++) {
        const int e = 32 * word + lane;
        int near = 0, i = 0, j = 0;
        if (e < a.n_pair) {
            i = a.pair[2 * e];
            j = a.pair[2 * e + 1];
            const float3 d = load3(x_r, i) - load3(x_r, j);
            const float r = __fsqrt_rn(dot(d, d));
            near = r >= a.grid.r_lo && r < a.grid.r_hi;
            if (near) {
                b.integer_at(at.pair_row)[first + e] = frx_filter_place(
                    &a.grid, r, &b.at(at.pair_t)[first + e], &b.at(at.pair_density)[first + e]);
                store3(b.at(at.pair_direction), first + e, __frcp_rn(r) * d);
            }
        }
        near_words[word] = __ballot_sync(0xffffffffu, near);
        if (near)
            b.integer_at(at.active)[first + n + __popc(near_words[word] & ((1u << lane) - 1))] =
                (first + e) | (p * a.n_bead + i) << 16 | (p * a.n_bead + j) << 24;
        n += __popc(near_words[word]);
    }
    if (lane == 0) b.integer_at(at.n_active)[p] = n;
    if (lane >= a.n_bead) return;
    int *neighbour = b.integer_at(at.neighbour) + (p * a.n_bead + lane) * FRX_FUSED_MAX_BEAD;
    int n_neighbour = 0;
    for (int j = 0; j < a.n_bead; j++) {
        const int i = min(lane, j), k = max(lane, j), e = i * (2 * a.n_bead - i - 1) / 2 + k - i - 1;
        uint32_t near_word = 0;
#pragma unroll
        for (int word = 0; word < (FRX_FUSED_PAIR(FRX_FUSED_MAX_BEAD) + 31) / 32; word++)
            if (word == e / 32) near_word = near_words[word];
        if (j != lane && near_word >> e % 32 & 1) neighbour[n_neighbour++] = e | j << 16;
    }
    b.integer_at(at.n_neighbour)[p * a.n_bead + lane] = n_neighbour;
}

/* Pairs within reach of all replicas together. */
template <int cluster> static __device__ __forceinline__ int count_active(const fused_block<cluster> &b) {
    int n = 0;
    for (int p = 0; p * b.args.n_bead < b.n_col; p++) n += b.integer_at(b.args.layout.n_active)[p];
    return n;
}

/* The k-th of them. */
template <int cluster>
static __device__ __forceinline__ uint32_t active_pair(const fused_block<cluster> &b, int k) {
    const int *n_active = b.integer_at(b.args.layout.n_active);
    int p = 0;
    for (; k >= n_active[p]; p++) k -= n_active[p];
    return (uint32_t)b.integer_at(b.args.layout.active)[p * b.args.n_pair + k];
}

static __device__ __forceinline__ void add4(float w, float4 a, float4 *sum) {
    sum->x = __fmaf_rn(w, a.x, sum->x);
    sum->y = __fmaf_rn(w, a.y, sum->y);
    sum->z = __fmaf_rn(w, a.z, sum->z);
    sum->w = __fmaf_rn(w, a.w, sum->w);
}

/* W and W' of interaction l, for the pairs first .. last - 1 within reach; four channels of a pair to a
 * thread, and three such at a time, because the table is far away. */
template <int cluster>
static __device__ __forceinline__ void fill_filters(const fused_block<cluster> &b, int l, int first, int last,
                                                    int thread, int n_thread) {
    enum { at_once = 3 };
    const struct frx_fused_args &a = b.args;
    const int n = b.own_filter, n_quad = n / 4;
    float *filter = b.at(a.layout.filter), *filter_slope = b.at(a.layout.filter_slope);
    const float *table = a.table + (size_t)l * a.grid.n_row * a.n_filter + b.rank * n;
    for (int item = first * n_quad + thread; item < last * n_quad; item += at_once * n_thread) {
        float4 coefficient[at_once][4];
        int place[at_once], pair[at_once];
#pragma unroll
        for (int k = 0; k < at_once; k++) {
            const int mine =
                min(item + k * n_thread, last * n_quad - 1); /* behind the end: the last one again */
            pair[k] = active_pair(b, mine / n_quad) & 0xffff;
            place[k] = 4 * (mine % n_quad);
            const float *row =
                table + (size_t)b.integer_at(a.layout.pair_row)[pair[k]] * a.n_filter + place[k];
#pragma unroll
            for (int q = 0; q < 4; q++) coefficient[k][q] = __ldg((const float4 *)(row + q * a.n_filter));
        }
#pragma unroll
        for (int k = 0; k < at_once; k++) {
            float w[4], dw[4];
            float4 value = make_float4(0, 0, 0, 0), slope = value;
            frx_filter_weights(b.at(a.layout.pair_t)[pair[k]], b.at(a.layout.pair_density)[pair[k]], w, dw);
#pragma unroll
            for (int q = 0; q < 4; q++) {
                add4(w[q], coefficient[k][q], &value);
                add4(dw[q], coefficient[k][q], &slope);
            }
            *(float4 *)(filter + pair[k] * n + place[k]) = value;
            *(float4 *)(filter_slope + pair[k] * n + place[k]) = slope;
        }
    }
}

/* sum_j W_ij source_j of own channels to operand `next`; source [n_col][own_filter + 4]. By all warps, four
 * channels of a column to a thread. */
template <int cluster, int n_tile>
static __device__ __forceinline__ void send_messages(const fused_block<cluster> &b, const float *source,
                                                     int next) {
    const struct frx_fused_args &a = b.args;
    const int n = b.own_filter, n_quad = n / 4;
    const float *filter = b.at(a.layout.filter);
    for (int item = threadIdx.x; item < b.n_col * n_quad; item += fused_threads) {
        const int column = item / n_quad, c = 4 * (item % n_quad), p = column / a.n_bead;
        const int *neighbour = b.integer_at(a.layout.neighbour) + column * FRX_FUSED_MAX_BEAD;
        const int n_neighbour = b.integer_at(a.layout.n_neighbour)[column];
        float4 sum = make_float4(0, 0, 0, 0);
#pragma unroll 3
        for (int k = 0; k < n_neighbour; k++) {
            const int pair = p * a.n_pair + (neighbour[k] & 0xffff), j = p * a.n_bead + (neighbour[k] >> 16);
            const float4 w = *(const float4 *)(filter + pair * n + c);
            const float4 h = *(const float4 *)(source + j * (n + 4) + c);
            sum.x = __fmaf_rn(w.x, h.x, sum.x);
            sum.y = __fmaf_rn(w.y, h.y, sum.y);
            sum.z = __fmaf_rn(w.z, h.z, sum.z);
            sum.w = __fmaf_rn(w.w, h.w, sum.w);
        }
        fused_put<cluster, n_tile>(b, next, b.rank * n + c, column, sum.x);
        fused_put<cluster, n_tile>(b, next, b.rank * n + c + 1, column, sum.y);
        fused_put<cluster, n_tile>(b, next, b.rank * n + c + 2, column, sum.z);
        fused_put<cluster, n_tile>(b, next, b.rank * n + c + 3, column, sum.w);
    }
}

/* dE/dr of the pairs, own channels' share: sum_c W'_c (g_ic h_jc + g_jc h_ic), added up over the interactions
 * from the last one down; with the first, the share goes to all blocks. */
template <int cluster>
static __device__ __forceinline__ void add_slopes(const fused_block<cluster> &b, int l, int warp,
                                                  int n_warp) {
    const struct frx_fused_args &a = b.args;
    const int lane = threadIdx.x % 32, n = b.own_filter;
    const float *filter_slope = b.at(a.layout.filter_slope), *h = b.h(l), *g = b.at(a.layout.g);
    float *slope = b.at(a.layout.slope);
    const int n_active = count_active(b);
    for (int k = warp; k < n_active; k += n_warp) {
        const uint32_t active = active_pair(b, k);
        const int pair = active & 0xffff, i = (active >> 16 & 0xff) * (n + 4), j = (active >> 24) * (n + 4);
        float sum = 0;
#pragma unroll 4
        for (int c = lane; c < n; c += 32)
            sum = __fmaf_rn(filter_slope[pair * n + c],
                            __fmaf_rn(g[i + c], h[j + c], __fmul_rn(g[j + c], h[i + c])), sum);
        sum = warp_sum(sum);
        if (lane > 0) continue;
        if (l < a.n_interaction - 1) sum = __fadd_rn(slope[pair], sum);
        slope[pair] = sum;
        if (l > 0) continue;
#pragma unroll
        for (int q = 0; q < cluster; q++)
            ((float *)b.peer[q] + a.layout.slope_part)[b.rank * b.n_pair + pair] = sum;
    }
}

/* Force of the network on a column's bead, from the shares of all blocks. */
template <int cluster>
static __device__ __forceinline__ float3 network_force(const fused_block<cluster> &b, int column) {
    const struct frx_fused_args &a = b.args;
    const int p = column / a.n_bead, i = column - p * a.n_bead;
    const int *neighbour = b.integer_at(a.layout.neighbour) + column * FRX_FUSED_MAX_BEAD;
    const float *part = b.at(a.layout.slope_part);
    float3 force = make_float3(0, 0, 0);
    for (int k = 0; k < b.integer_at(a.layout.n_neighbour)[column]; k++) {
        const int pair = p * a.n_pair + (neighbour[k] & 0xffff), j = neighbour[k] >> 16;
        float slope = 0;
#pragma unroll
        for (int q = 0; q < cluster; q++) slope = __fadd_rn(slope, part[q * b.n_pair + pair]);
        const float3 direction =
            load3(b.at(a.layout.pair_direction), pair); /* from the later bead to the earlier */
        slope = i < j ? -slope : slope;
        force.x = __fmaf_rn(slope, direction.x, force.x);
        force.y = __fmaf_rn(slope, direction.y, force.y);
        force.z = __fmaf_rn(slope, direction.z, force.z);
    }
    return (1.0f / a.gradient_scale) * force;
}

#endif
