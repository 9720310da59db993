/* Dense layers of a fused step: v = W a for one block's share of the rows of W and all columns.
 *
 * Operand A is W, 16 rows x 16 inputs at a time; operand B is the activations, [input][column] halves in
 * shared memory; a warp has one or two tiles of 16 rows. Every sum runs over the inputs in order, high times
 * high in one accumulator, the small products in another. */
#ifndef FRX_KERNELS_FUSED_DENSE_CUH
#define FRX_KERNELS_FUSED_DENSE_CUH

#include "fused_block.cuh"

/* ---- weights ---- */

enum { piece = 32 }; /* 16-byte words of a piece of a stream: 16 x 16 weights, high or low */

/* One warp's weights on their way from L2: `depth` pieces are in flight or waiting. A lane copies and reads
 * its own words only, so nobody has to be waited for. */
template <int depth> struct fused_ring {
    const uint4 *source; /* this lane's word of the next piece to fetch */
    uint4 *slots;
    int place; /* of the oldest piece; the next one takes it */

    __device__ __forceinline__ void fetch() {
        copy_async_16(slots + place, source);
        asm volatile("cp.async.commit_group;" ::: "memory");
        source += piece;
        place = place == (depth - 1) * piece ? 0 : place + piece;
    }

    __device__ __forceinline__ void start(const struct frx_fused_args &args, char *shared, int rank) {
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        source = args.weight + (size_t)rank * args.stream_size + args.stream_begin[warp] + lane;
        slots = (uint4 *)(shared + 4 * args.layout.ring) + warp * depth * piece + lane;
        place = 0;
        for (int k = 0; k < depth; k++) fetch();
    }

    /* A step is over: what is on its way are the first pieces of the next, which the stream ends with. */
    __device__ __forceinline__ void rewind(const struct frx_fused_args &args) {
        source -= args.n_piece[threadIdx.x / 32] * piece;
    }

    /* The next 16 x 16 weights. */
    template <bool exact> __device__ __forceinline__ void take(uint4 *high, uint4 *low) {
        asm volatile("cp.async.wait_group %0;" ::"n"(exact ? depth - 2 : depth - 1) : "memory");
        *high = slots[place];
        if (exact) *low = slots[place == (depth - 1) * piece ? 0 : place + piece];
        fetch();
        if (exact) fetch();
    }
};

/* ---- products ---- */

template <int n_tile, int n_mine> struct fused_operands {
    uint4 high[n_mine], low[n_mine];
    uint32_t b_high[(n_tile + 1) / 2][4], b_low[(n_tile + 1) / 2][4];
};

/* sum[tile][column tile] in the order of D (mma.cuh). */
template <int n_tile, int n_mine, bool exact, int depth>
static __device__ __forceinline__ void fused_multiply(fused_ring<depth> &ring, uint32_t high, uint32_t low,
                                                      int n_step, float sum[2][n_tile][4]) {
    constexpr int stride = fused_stride(n_tile);
    float small[n_mine][n_tile][4] = {};
    fused_operands<n_tile, n_mine> now, later = {};
    const auto load = [&](fused_operands<n_tile, n_mine> &o, int step) {
#pragma unroll
        for (int t = 0; t < n_mine; t++) ring.template take<exact>(&o.high[t], &o.low[t]);
#pragma unroll
        for (int p = 0; p < (n_tile + 1) / 2; p++) {
            ldmatrix_x4_trans(o.b_high[p], high + 2 * (step * 16 * stride + 16 * p));
            if (exact) ldmatrix_x4_trans(o.b_low[p], low + 2 * (step * 16 * stride + 16 * p));
        }
    };
    load(now, 0);
#pragma unroll 2
    for (int step = 0; step < n_step; step++) {
        if (step + 1 < n_step) load(later, step + 1);
#pragma unroll
        for (int t = 0; t < n_mine; t++) {
            const uint32_t a_high[4] = {now.high[t].x, now.high[t].y, now.high[t].z, now.high[t].w};
            const uint32_t a_low[4] = {now.low[t].x, now.low[t].y, now.low[t].z, now.low[t].w};
#pragma unroll
            for (int n = 0; n < n_tile; n++) {
                const uint32_t *h = &now.b_high[n / 2][2 * (n % 2)], *l = &now.b_low[n / 2][2 * (n % 2)];
                if (exact) mma_16x8x16(small[t][n], a_high, l[0], l[1]);
                mma_16x8x16(sum[t][n], a_high, h[0], h[1]);
                if (exact) mma_16x8x16(small[t][n], a_low, h[0], h[1]);
            }
        }
        now = later;
    }
    if (exact)
#pragma unroll
        for (int k = 0; k < n_mine * n_tile * 4; k++)
            sum[k / (4 * n_tile)][k / 4 % n_tile][k % 4] += small[k / (4 * n_tile)][k / 4 % n_tile][k % 4];
}

/* ---- what becomes of the sums ---- */

/* Channels c (own) and columns of this lane: action(c, column, v0, v1) for every two columns that there are.
 */
template <int n_tile, typename action_type>
static __device__ __forceinline__ void each_pair(int n_mine, int n_even, const float sum[2][n_tile][4],
                                                 action_type action) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
    for (int t = 0; t < 2; t++)
#pragma unroll
        for (int half_tile = 0; half_tile < 2 && t < n_mine; half_tile++)
#pragma unroll
            for (int n = 0; n < n_tile; n++) {
                const int column = 8 * n + 2 * (lane & 3);
                if (column < n_even)
                    action(16 * (warp + FRX_FUSED_DENSE * t) + 8 * half_tile + (lane >> 2), column,
                           sum[t][n][2 * half_tile], sum[t][n][2 * half_tile + 1]);
            }
}

template <int cluster, int n_tile>
static __device__ __forceinline__ void finish_layer(const fused_block<cluster> &b,
                                                    const struct frx_fused_phase &phase, int next, int n_mine,
                                                    const float sum[2][n_tile][4]) {
    const struct frx_fused_args &a = b.args;
    const int first = b.rank * 16 * phase.n_tile; /* own channels start here */
    const float unscale = phase.unscale;
    const float *bias = b.at(a.layout.constant) + phase.bias;
    float *x = b.at(a.layout.x), *kept = b.kept(phase);
    const auto put = [&](int c, int column, float v0, float v1) {
        fused_put<cluster, n_tile>(b, next, first + c, column, v0, v1);
    };
    const auto rows = [&](float *rows_of, int c, int column, float v0,
                          float v1) { /* [column][own filter + 4] */
                                      float *place = rows_of + column * (b.own_filter + 4) + c;
                                      place[0] = v0;
                                      if (column + 1 < b.n_col) place[b.own_filter + 4] = v1;
    };
    const auto at = [&](float *array, int c, int column) -> float2 & {
        return *(float2 *)(array + c * b.n_even + column);
    };
#define EACH(...)                                                                                            \
    each_pair<n_tile>(n_mine, b.n_even, sum, [&](int c, int column, float s0, float s1) {                    \
        const float v0 = __fmul_rn(s0, unscale), v1 = __fmul_rn(s1, unscale);                                \
        __VA_ARGS__                                                                                          \
    })
    switch (phase.task) {
    case FRX_FUSED_TANH:
        EACH(const float t0 = tanh_fast(v0 + bias[c]), t1 = tanh_fast(v1 + bias[c]);
             at(kept, c, column) = make_float2(1 - t0 * t0, 1 - t1 * t1); put(c, column, t0, t1););
        break;
    case FRX_FUSED_LAST: {
        const float seed = a.energy_scale * a.gradient_scale;
        const float *weight = b.at(a.layout.constant) + a.last_weight;
        EACH(const float t0 = tanh_fast(v0 + bias[c]), t1 = tanh_fast(v1 + bias[c]), w = seed * weight[c];
             at(kept, c, column) = make_float2(t0, t1);
             put(c, column, w * (1 - t0 * t0), w * (1 - t1 * t1)););
        break;
    }
    case FRX_FUSED_FIRST_X:
    case FRX_FUSED_ADD_X: {
        float *old_x = phase.task == FRX_FUSED_FIRST_X ? b.at(a.layout.x_first) : x;
        EACH(const float2 old = at(old_x, c, column); const float x0 = old.x + (v0 + bias[c]);
             const float x1 = old.y + (v1 + bias[c]); at(x, c, column) = make_float2(x0, x1);
             put(c, column, x0, x1););
        break;
    }
    case FRX_FUSED_SLOPE:
        EACH(const float2 slope = at(kept, c, column); put(c, column, v0 * slope.x, v1 * slope.y););
        break;
    case FRX_FUSED_SET_GRADIENT:
        EACH(at(x, c, column) = make_float2(v0, v1); put(c, column, v0, v1););
        break;
    case FRX_FUSED_ADD_GRADIENT:
        EACH(const float2 old = at(x, c, column); const float x0 = old.x + v0; const float x1 = old.y + v1;
             at(x, c, column) = make_float2(x0, x1); put(c, column, x0, x1););
        break;
    case FRX_FUSED_FEATURES: {
        float *h = b.h(phase.layer);
        EACH(rows(h, c, column, v0, v1););
        break;
    }
    default: { /* FRX_FUSED_G */
        float *g = b.at(a.layout.g);
        EACH(rows(g, c, column, v0, v1););
    }
    }
#undef EACH
}

/* Sums of the warps that share a tile, in their order, to the first of them, through shared memory. */
template <int n_tile>
static __device__ __forceinline__ void gather_parts(float *partial, int part, int n_part, int tiles,
                                                    float sum[2][n_tile][4]) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float4 *mine = (float4 *)partial + warp * n_tile * 32 + lane;
    if (part > 0)
#pragma unroll
        for (int n = 0; n < n_tile; n++)
            mine[n * 32] = make_float4(sum[0][n][0], sum[0][n][1], sum[0][n][2], sum[0][n][3]);
    asm volatile("bar.sync 1, %0;" ::"n"(32 * FRX_FUSED_DENSE) : "memory");
    if (part > 0) return;
    for (int q = 1; q < n_part; q++)
#pragma unroll
        for (int n = 0; n < n_tile; n++) {
            const float4 other = mine[(q * tiles * n_tile + n) * 32];
            sum[0][n][0] = __fadd_rn(sum[0][n][0], other.x);
            sum[0][n][1] = __fadd_rn(sum[0][n][1], other.y);
            sum[0][n][2] = __fadd_rn(sum[0][n][2], other.z);
            sum[0][n][3] = __fadd_rn(sum[0][n][3], other.w);
        }
}

/* One dense layer, by the dense warps: from operand 1 - next to wherever the phase says. A warp has two
 * tiles, or one, or (n_part > 1) the part-th of n_part pieces of the sums of one. */
template <int cluster, int n_tile, int depth>
static __device__ __forceinline__ void dense_layer(const fused_block<cluster> &b, fused_ring<depth> &ring,
                                                   const struct frx_fused_phase &phase, int next) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, n_part = phase.n_part;
    const int part = n_part > 1 ? warp / phase.n_tile : 0, n_step = phase.n_step / n_part;
    const int n_mine = n_part > 1                              ? part < n_part
                       : warp + FRX_FUSED_DENSE < phase.n_tile ? 2
                                                               : warp < phase.n_tile;
    const half *operand =
        (const half *)b.at(b.args.layout.next[1 - next]) + part * n_step * 16 * fused_stride(n_tile);
    const uint32_t high = shared_address(operand + (lane & 15) * fused_stride(n_tile) + 8 * (lane >> 4));
    const uint32_t low = high + 4 * b.args.layout.next_low;
    float sum[2][n_tile][4] = {};
    if (phase.exact) {
        if (n_mine == 2)
            fused_multiply<n_tile, 2, true>(ring, high, low, n_step, sum);
        else if (n_mine == 1)
            fused_multiply<n_tile, 1, true>(ring, high, low, n_step, sum);
    } else {
        if (n_mine == 2)
            fused_multiply<n_tile, 2, false>(ring, high, low, n_step, sum);
        else if (n_mine == 1)
            fused_multiply<n_tile, 1, false>(ring, high, low, n_step, sum);
    }
    if (n_part > 1) gather_parts<n_tile>(b.at(b.args.layout.partial), part, n_part, phase.n_tile, sum);
    if (part == 0) finish_layer<cluster, n_tile>(b, phase, next, n_mine, sum);
}

#endif
