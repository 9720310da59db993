/* Pairs of beads in a fused step: who is near whom, filters, messages, slopes, forces.
 *
 * Pairs i < j have a number, row by row. Filters of the pairs within reach are evaluated
 * once per step, from the float table in L2: as floats W (exact programs; W' beside them if there is a way
 * back), or as two halves, W and W', in one word. Sums over neighbours run from the first bead to the last.
 */
#ifndef FRX_KERNELS_FUSED_EDGES_CUH
#define FRX_KERNELS_FUSED_EDGES_CUH

#include "fused_block.cuh"

static __device__ __forceinline__ int pair_number(int n_bead, int i, int j) {
    const int low = min(i, j), high = max(i, j);
    return low * (2 * n_bead - low - 1) / 2 + high - low - 1;
}

/* Who is near whom: distances, neighbours of each bead in ascending order, pairs within reach. n_active is
 * zero before. A thread for each bead and each of FRX_FUSED_MAX_BEAD others; whole warps. */
template <typename block> static __device__ __forceinline__ void find_pairs(const block &b, int thread) {
    const struct frx_fused_args &a = b.args;
    const struct frx_fused_layout &at = a.layout;
    const int bead = thread / FRX_FUSED_MAX_BEAD, j = thread % FRX_FUSED_MAX_BEAD;
    const bool is_pair = bead < a.n_bead && j < a.n_bead && j != bead;
    float3 d = make_float3(0, 0, 0);
    if (is_pair) d = load3(b.at(at.position), bead) - load3(b.at(at.position), j);
    const float r = __fsqrt_rn(dot(d, d));
    const bool is_near = is_pair && r >= a.grid.r_lo && r < a.grid.r_hi;
    /* two beads to a warp */
    const uint32_t warp_near = __ballot_sync(0xffffffffu, is_near);
    const uint32_t near = warp_near >> (thread % 32 - j) & ((1u << FRX_FUSED_MAX_BEAD) - 1);
    const int n = __popc(near), pair = pair_number(a.n_bead, bead, j);
    int *list = b.integer_at(at.neighbour) + bead * FRX_FUSED_MAX_BEAD;
    if (bead < a.n_bead && j == 0) b.integer_at(at.near)[bead] = (int)near;
    if (bead < a.n_bead && j >= n && j < (n + 3) / 4 * 4) list[j] = a.n_pair;
    if (!is_near) return;
    list[__popc(near & ((1u << j) - 1))] = pair | j << 16;
    if (bead > j) return;
    b.integer_at(at.pair_row)[pair] =
        frx_filter_place(&a.grid, r, &b.at(at.pair_t)[pair], &b.at(at.pair_density)[pair]);
    store3(b.at(at.pair_direction), pair, __frcp_rn(r) * d);
    /* Which thread works on a pair does not matter to any sum, so the order of this list may be any. */
    b.integer_at(at.active)[atomicAdd(b.integer_at(at.n_active), 1)] = pair | bead << 16 | j << 24;
}

static __device__ __forceinline__ void add4(float w, float4 a, float4 *sum) {
    sum->x = __fmaf_rn(w, a.x, sum->x);
    sum->y = __fmaf_rn(w, a.y, sum->y);
    sum->z = __fmaf_rn(w, a.z, sum->z);
    sum->w = __fmaf_rn(w, a.w, sum->w);
}

static __device__ __forceinline__ float pack_filter(float value, float slope) {
    return __uint_as_float(half2_bits(__floats2half2_rn(value, slope)));
}

/* Filters of interaction l; four channels of a pair to a thread, and `at_once` such, because the table is far
 * away. with_slopes: W' beside W, of an exact program. */
template <int at_once, typename block>
static __device__ __forceinline__ void fill_filters(const block &b, int l, int with_slopes, int thread,
                                                    int n_thread) {
    const struct frx_fused_args &a = b.args;
    const int n_quad = a.n_filter / 4, shift = __ffs(n_quad) - 1; /* a power of two */
    const int n_item = b.integer_at(a.layout.n_active)[0] * n_quad;
    const float *table = a.table + (size_t)l * a.grid.n_row * a.n_filter;
    float *filter = b.at(a.layout.filter) + b.filter_row(l);
    float *filter_slope = b.filter_slope() + b.filter_row(l);
    const float s = a.value_scale[l], ds = a.slope_scale[l];
    for (int item = thread; item < n_item; item += at_once * n_thread) {
        float4 coefficient[at_once][4];
        int pair[at_once], place[at_once];
#pragma unroll
        for (int k = 0; k < at_once; k++) {
            const int mine = min(item + k * n_thread, n_item - 1); /* behind the end: the last one again */
            pair[k] = b.integer_at(a.layout.active)[mine >> shift] & 0xffff;
            place[k] = 4 * (mine & (n_quad - 1));
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
            const int to = pair[k] * b.stride() + place[k];
            if (block::exact) {
                *(float4 *)(filter + to) = value;
                if (with_slopes) *(float4 *)(filter_slope + to) = slope;
            } else {
                *(float4 *)(filter + to) = make_float4(
                    pack_filter(s * value.x, ds * slope.x), pack_filter(s * value.y, ds * slope.y),
                    pack_filter(s * value.z, ds * slope.z), pack_filter(s * value.w, ds * slope.w));
            }
        }
    }
}

static __device__ __forceinline__ float low_half(float word) {
    return __low2float(bits_half2(__float_as_uint(word)));
}
static __device__ __forceinline__ float high_half(float word) {
    return __high2float(bits_half2(__float_as_uint(word)));
}

/* Up to four neighbours' share of a message, four channels. */
template <bool exact>
static __device__ __forceinline__ void add_neighbours(int4 four, const float *filter, const float *source,
                                                      int stride, float4 *sum) {
    const int neighbour[4] = {four.x, four.y, four.z, four.w};
    float4 w[4], h[4];
#pragma unroll
    for (int q = 0; q < 4; q++) {
        w[q] = *(const float4 *)(filter + (neighbour[q] & 0xffff) * stride);
        h[q] = *(const float4 *)(source + (neighbour[q] >> 16) * stride);
    }
#pragma unroll
    for (int q = 0; q < 4; q++) {
        if (!exact)
            w[q] = make_float4(low_half(w[q].x), low_half(w[q].y), low_half(w[q].z), low_half(w[q].w));
        sum->x = __fmaf_rn(w[q].x, h[q].x, sum->x);
        sum->y = __fmaf_rn(w[q].y, h[q].y, sum->y);
        sum->z = __fmaf_rn(w[q].z, h[q].z, sum->z);
        sum->w = __fmaf_rn(w[q].w, h[q].w, sum->w);
    }
}

/* sum_j W_ij source_j of this warp's channels, to operand `out`; source [n_bead][stride]. A lane has four
 * channels of two beads at once. */
template <typename block>
static __device__ __forceinline__ void send_messages(const block &b, const struct frx_fused_phase &phase,
                                                     const float *source) {
    enum { at_once = 2 };
    const struct frx_fused_args &a = b.args;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int n_quad = 2 * phase.tiles, shift = __ffs(n_quad) - 1; /* a power of two */
    const int quad = n_quad * warp + (lane & (n_quad - 1)), n_line = 32 >> shift;
    const float *filter = b.at(a.layout.filter) + b.filter_row(phase.layer) + 4 * quad;
    const float unscale = block::exact ? 1.0f : phase.value_unscale;
    source += 4 * quad;
    for (int first = lane >> shift; first < a.n_bead; first += at_once * n_line) {
        const int4 *list[at_once];
        int n_group[at_once];
        float4 sum[at_once] = {};
#pragma unroll
        for (int q = 0; q < at_once; q++) {
            const int bead = min(first + q * n_line, a.n_bead - 1);
            list[q] = (const int4 *)(b.integer_at(a.layout.neighbour) + bead * FRX_FUSED_MAX_BEAD);
            n_group[q] = (__popc(b.integer_at(a.layout.near)[bead]) + 3) / 4;
        }
        for (int k = 0; k < max(n_group[0], n_group[1]); k++)
#pragma unroll
            for (int q = 0; q < at_once; q++)
                if (k < n_group[q])
                    add_neighbours<block::exact>(list[q][k], filter, source, b.stride(), &sum[q]);
#pragma unroll
        for (int q = 0; q < at_once; q++) {
            const int bead = first + q * n_line;
            const bool there = bead < a.n_bead;
            put(b, phase.out, bead, 4 * quad, there, unscale * sum[q].x, unscale * sum[q].y);
            put(b, phase.out, bead, 4 * quad + 2, there, unscale * sum[q].z, unscale * sum[q].w);
        }
    }
}

/* Some channels' share of dE/dr, n_quad (a power of two) times four from quad first_quad on, to a row of
 * slope_part: sum_c W'_c (g_ic h_jc + g_jc h_ic) of interaction l, added to what is there unless it is the
 * first to come. By a warp; lanes side by side have four channels of a pair each. */
template <typename block>
static __device__ __forceinline__ void add_slopes(const block &b, int l, int first_quad, int n_quad,
                                                  int is_first, int part_row) {
    const struct frx_fused_args &a = b.args;
    const int lane = threadIdx.x % 32, shift = __ffs(n_quad) - 1, quad = first_quad + (lane & (n_quad - 1));
    const float *slope =
        (block::exact ? b.filter_slope() : b.at(a.layout.filter)) + b.filter_row(l) + 4 * quad;
    const float *h = b.h(l) + 4 * quad, *g = b.g(l) + 4 * quad;
    float *part = b.at(a.layout.slope_part) + part_row * a.n_pair;
    const float unscale = block::exact ? 1.0f : a.slope_unscale[l];
    const int n_active = b.integer_at(a.layout.n_active)[0];
#pragma unroll 2
    for (int first = 0; first < n_active; first += 32 >> shift) {
        const int k = first + (lane >> shift);
        const uint32_t active = (uint32_t)b.integer_at(a.layout.active)[min(k, n_active - 1)];
        const int pair = active & 0xffff, i = (active >> 16 & 0xff) * b.stride(),
                  j = (active >> 24) * b.stride();
        float4 w = *(const float4 *)(slope + pair * b.stride());
        const float4 g_i = *(const float4 *)(g + i), g_j = *(const float4 *)(g + j);
        const float4 h_i = *(const float4 *)(h + i), h_j = *(const float4 *)(h + j);
        if (!block::exact) w = make_float4(high_half(w.x), high_half(w.y), high_half(w.z), high_half(w.w));
        float sum = __fmul_rn(w.x, __fmaf_rn(g_i.x, h_j.x, __fmul_rn(g_j.x, h_i.x)));
        sum = __fmaf_rn(w.y, __fmaf_rn(g_i.y, h_j.y, __fmul_rn(g_j.y, h_i.y)), sum);
        sum = __fmaf_rn(w.z, __fmaf_rn(g_i.z, h_j.z, __fmul_rn(g_j.z, h_i.z)), sum);
        sum = __fmaf_rn(w.w, __fmaf_rn(g_i.w, h_j.w, __fmul_rn(g_j.w, h_i.w)), sum);
        for (int step = 1; step < n_quad; step *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
        if ((lane & (n_quad - 1)) == 0 && k < n_active)
            part[pair] = is_first ? unscale * sum : __fmaf_rn(unscale, sum, part[pair]);
    }
}

/* Force of the network on a bead, by a warp, whose lanes all get it: a lane has a neighbour. */
template <typename block> static __device__ __forceinline__ float3 network_force(const block &b, int bead) {
    const struct frx_fused_args &a = b.args;
    const int lane = threadIdx.x % 32;
    float3 force = make_float3(0, 0, 0);
    if (lane < a.n_bead && b.integer_at(a.layout.near)[bead] >> lane & 1) {
        const int pair = pair_number(a.n_bead, bead, lane);
        const float *part = b.at(a.layout.slope_part) + pair;
        float slope = 0; /* helpers have added up all interactions but the first */
#pragma unroll
        for (int q = 0; q < fused_warps; q++)
            if (q >= FRX_FUSED_HELPER || a.n_interaction > 1) slope = __fadd_rn(slope, part[q * a.n_pair]);
        force = (bead < lane ? -slope : slope) * load3(b.at(a.layout.pair_direction), pair);
    }
    return a.force_scale * make_float3(warp_sum(force.x), warp_sum(force.y), warp_sum(force.z));
}

#endif
