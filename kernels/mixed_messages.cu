/* Message passing on tensor cores, forward and backward.
 *
 * messages:     out_ic = sum_j W_c(r_ij) y_jc
 *                      = sum_tiles sum_k T[k][c] G[k][c],  G[k][c] = sum_{j in tile} b_k(u_ij) y_jc
 *               G is a product [16 knots][16 edges] x [16 edges][C channels] per group of 16 edges: A are the
 * spline weights (four per edge, placed in shared memory), B the rows y_j gathered straight from shared
 * memory by ldmatrix. Multiplying by the table T happens once per tile and row, not once per edge.
 * pair_slopes:  q_ij = sum_c dW_c/ds g_ic h_jc = sum_k b2_k(u_ij) S[k][j],  S[k][j] = sum_c (D[k][c] g_ic)
 * h_jc S is a product [16 knots][C] x [C][16 edges]; A = D g_i is formed once per tile and row. The slope of
 * a cubic spline is a quadratic one whose coefficients D[k] = T[k + 1] - T[k] are tabulated: summing the
 *               rounded T with the alternating weights b' instead would lose a digit.
 *
 * What halves lose is kept small: of the table the mean of each tile and channel is taken out, and the
 * weights of an edge add up to one, so that rounding only touches what differs from the mean.
 *
 * Parallel mapping: a block takes a range of rows of (mostly) one replica and a slice of C channels, with all
 * N rows of y (and a zero row for the padding of groups) in shared memory; a warp takes one row i at a time
 * from a counter of the block and owns its sums: no floating-point atomics, and what a row gives depends on
 * its list only. Shared memory: (N + 1)(C + 8) halves of y, 17 C n_tile halves of T, 1536 bytes per warp for
 * weights. Rows are C + 8 halves apart so that eight neighbouring beads lie in different banks. */
#include "device.h"
#include "mixed.h"
#include "mma.cuh"

enum {
    stage_stride = FRX_TILE_KNOT + 8,    /* halves between the weights of two edges */
    stage_halves = 2 * 16 * stage_stride /* per warp, two groups in flight */
};

static __host__ __device__ __forceinline__ int row_stride(int slice) {
    return slice + 8;
}

/* ---- what both passes do alike ---- */

struct block_memory {
    half *y, *table; /* [N + 1][C + 8], [n_tile][C/16][32][8] */
    half *mean;      /* [n_tile][C/16][4][4] */
    half *stage;     /* this warp's [2][16][stage_stride] */
};

static __device__ struct block_memory block_memory_of(void *base, int n_bead, int slice, int n_tile) {
    struct block_memory m;
    m.y = (half *)base;
    m.table = m.y + (size_t)(n_bead + 1) * row_stride(slice);
    m.mean = m.table + (size_t)n_tile * 16 * slice;
    m.stage = m.mean + (size_t)n_tile * slice + (threadIdx.x >> 5) * stage_halves;
    return m;
}

static __device__ void load_table(half *shared, const half *table, int n_halves) {
    for (int k = threadIdx.x * 8; k < n_halves; k += blockDim.x * 8) copy_async_16(shared + k, table + k);
}

/* Rows of one replica, channels of this slice; row N is zero. */
static __device__ void load_features(half *shared, const half *features, int n_bead, int n_filter,
                                     int slice) {
    const int vectors = slice / 8;
    for (int k = threadIdx.x; k < n_bead * vectors; k += blockDim.x) {
        const int j = k / vectors, v = k % vectors;
        copy_async_16(shared + j * row_stride(slice) + 8 * v, features + (size_t)j * n_filter + 8 * v);
    }
    for (int k = threadIdx.x; k < slice; k += blockDim.x)
        shared[n_bead * row_stride(slice) + k] = __float2half(0.0f);
}

/* Walk over this block's rows, replica by replica: body(row) runs on one warp with C channels of row's
 * replica in shared memory; features: the first of them of replica 0. */
template <int C, typename body_type>
static __device__ __forceinline__ void for_rows_of_block(const struct frx_edge_pass &pass,
                                                         const half *features, half *y, int *next_row,
                                                         body_type body) {
    const int n_bead = pass.n_bead, n_row = pass.n_rep * n_bead, lane = threadIdx.x & 31;
    const int row_end = (int)((long long)(blockIdx.x + 1) * n_row / gridDim.x);
    for (int row_begin = (int)((long long)blockIdx.x * n_row / gridDim.x); row_begin < row_end;) {
        const int replica = row_begin / n_bead, stop = min(row_end, (replica + 1) * n_bead);
        __syncthreads(); /* nobody reads the previous replica any more */
        load_features(y, features + replica * pass.feature_stride, n_bead, pass.n_filter, C);
        if (threadIdx.x == 0) *next_row = row_begin;
        copy_async_wait();
        __syncthreads();
        for (;;) {
            int row = lane == 0 ? atomicAdd(next_row, 1) : 0;
            row = __shfl_sync(0xffffffffu, row, 0);
            if (row >= stop) break;
            body(row);
        }
        row_begin = stop;
    }
}

struct message_args {
    struct frx_edge_pass pass;
    const half *table, *mean;
    const float *scale;
    float *out;
};

struct slope_args {
    struct frx_edge_pass pass;
    const half *table, *gradient;
    const float *scale;
    float *slopes;
    int slope_stride, accumulate;
};

/* ---- messages ---- */

/* Spline weights of 16 edges, put where ldmatrix finds operand A. Lane l and l + 16 serve edge l % 16: the
 * first places weights 0 and 1, the second 2 and 3; everything else is zero. The largest weight takes up what
 * rounding the others leaves: the four add up to one, so that the mean of a tile's coefficients is weighed
 * exactly. The caller synchronises the warp before reading. */
static __device__ __forceinline__ void stage_weights(half *stage, int lane, float u) {
    const int interval = min((int)u, FRX_TILE_INTERVAL - 1);
    const float t = u - (float)interval, p = lane < 16 ? t : 1.0f - t, q = 1.0f - p; /* 3, 2 mirror 0, 1 */
    const half outer = __float2half(q * q * q * (1.0f / 6.0f)), far = __float2half(p * p * p * (1.0f / 6.0f)),
               other = __float2half((0.5f * q - 1.0f) * q * q + 2.0f / 3.0f);
    const float rest = 1.0f - (__half2float(outer) + __half2float(far) + __half2float(other));
    const float inner = p < 0.5f ? rest : (0.5f * p - 1.0f) * p * p + 2.0f / 3.0f;
    *(uint4 *)(stage + (lane >> 1) * stage_stride + (lane & 1) * 8) = make_uint4(0, 0, 0, 0);
    __syncwarp();
    half *place = stage + (lane & 15) * stage_stride + interval;
    place[lane < 16 ? 0 : 3] = outer;
    place[lane < 16 ? 1 : 2] = __float2half(inner);
}

/* G (+)= weights times gathered features; y: this lane's address for ldmatrix. The next features are on their
 * way while the present ones are multiplied. */
template <int C, bool fresh>
static __device__ __forceinline__ void multiply(const uint32_t weights[4], uint32_t y, float (&g)[C / 8][4]) {
    uint32_t b[2][4];
    ldmatrix_x4_trans(b[0], y);
#pragma unroll
    for (int n = 0; n < C / 8; n += 2) {
        const int now = (n / 2) & 1;
        if (n + 2 < C / 8) ldmatrix_x4_trans(b[now ^ 1], y + (n + 2) * 16);
        if (fresh) {
            mma_16x8x16_from_zero(g[n], weights, b[now][0], b[now][1]);
            mma_16x8x16_from_zero(g[n + 1], weights, b[now][2], b[now][3]);
        } else {
            mma_16x8x16(g[n], weights, b[now][0], b[now][1]);
            mma_16x8x16(g[n + 1], weights, b[now][2], b[now][3]);
        }
    }
}

/* acc_c += sum_k (T[k][c] + mean[c]) G[k][c] over this lane's two knots. */
template <int C>
static __device__ __forceinline__ void flush_tile(const half *table, const half *mean, int lane,
                                                  float (&g)[C / 8][4], float (&acc)[C / 8][2]) {
#pragma unroll
    for (int n = 0; n < C / 8; n += 2) {
        const uint4 t = *(const uint4 *)(table + ((n / 2) * 32 + lane) * 8);
        const float2 lo0 = __half22float2(bits_half2(t.x)), hi0 = __half22float2(bits_half2(t.y));
        const float2 lo1 = __half22float2(bits_half2(t.z)), hi1 = __half22float2(bits_half2(t.w));
        const uint2 m = *(const uint2 *)(mean + ((n / 2) * 4 + (lane & 3)) * 4);
        const float2 m0 = __half22float2(bits_half2(m.x)), m1 = __half22float2(bits_half2(m.y));
        acc[n][0] += (g[n][0] + g[n][2]) * m0.x;
        acc[n][1] += (g[n][1] + g[n][3]) * m0.y;
        acc[n + 1][0] += (g[n + 1][0] + g[n + 1][2]) * m1.x;
        acc[n + 1][1] += (g[n + 1][1] + g[n + 1][3]) * m1.y;
        acc[n][0] += g[n][0] * lo0.x + g[n][2] * hi0.x;
        acc[n][1] += g[n][1] * lo0.y + g[n][3] * hi0.y;
        acc[n + 1][0] += g[n + 1][0] * lo1.x + g[n + 1][2] * hi1.x;
        acc[n + 1][1] += g[n + 1][1] * lo1.y + g[n + 1][3] * hi1.y;
    }
}

/* One step of a butterfly sum with the lane at distance `bit`: of 2 W column tiles this lane keeps W (its
 * half); of one, both lanes keep the sum. Returns the index of the first tile kept. */
template <int W, int n_acc>
static __device__ __forceinline__ int fold(float (&acc)[n_acc][2], int lane, int bit) {
    const bool upper = lane & bit;
#pragma unroll
    for (int n = 0; n < (W ? W : 1); n++)
#pragma unroll
        for (int k = 0; k < 2; k++) {
            const float send = W && !upper ? acc[n + W][k] : acc[n][k],
                        keep = W && upper ? acc[n + W][k] : acc[n][k];
            acc[n][k] = keep + __shfl_xor_sync(0xffffffffu, send, bit);
        }
    return upper ? W : 0;
}

/* Sum over the eight lanes that hold the same channels (g = lane / 4) in a fixed order, scale, store. */
template <int C>
static __device__ __forceinline__ void store_message(float (&acc)[C / 8][2], int lane, const float *scale,
                                                     float *out) {
    enum { kept = C / 64 ? C / 64 : 1 };
    int first = fold<C / 16>(acc, lane, 16);
    first += fold<C / 32>(acc, lane, 8);
    first += fold<C / 64>(acc, lane, 4);
    if (C < 64 && (lane & 4)) return; /* the other lane holds the same sum */
#pragma unroll
    for (int n = 0; n < kept; n++) {
        const int c = (first + n) * 8 + (lane & 3) * 2;
        *(float2 *)(out + c) = make_float2(acc[n][0] * scale[c], acc[n][1] * scale[c + 1]);
    }
}

template <int C>
static __global__ void __launch_bounds__(512, 1) message_kernel(const struct message_args a) {
    extern __shared__ __align__(16) char shared[];
    __shared__ int next_row;
    const int n_bead = a.pass.n_bead, n_tile = a.pass.n_tile, slice_index = blockIdx.y;
    const int lane = threadIdx.x & 31;
    const struct block_memory memory = block_memory_of(shared, n_bead, C, n_tile);
    load_table(memory.table, a.table + (size_t)slice_index * n_tile * 16 * C, n_tile * 16 * C);
    load_table(memory.mean, a.mean + (size_t)slice_index * n_tile * C, n_tile * C);
    const int column = (lane >> 4) * 8; /* this lane's 8 channels in an ldmatrix of 16 */
    const uint32_t stage_place =
        shared_address(memory.stage + ((lane & 7) + 8 * (lane >> 4)) * stage_stride + 8 * ((lane >> 3) & 1));

    for_rows_of_block<C>(a.pass, a.pass.features + slice_index * C, memory.y, &next_row, [&](int row) {
        const float *coordinate = a.pass.list.coordinate + (size_t)row * a.pass.list.capacity;
        const uint16_t *neighbour = a.pass.list.neighbour + (size_t)row * a.pass.list.capacity;
        const int ends = lane < n_tile ? a.pass.list.tile_end[(size_t)row * FRX_TILE_MAX + lane] : 0;
        const int n_group = __shfl_sync(0xffffffffu, ends, n_tile - 1);
        float g[C / 8][4], acc[C / 8][2] = {};
        float u = 0;
        int j = 0;
        const auto fetch = [&](int group) {
            if (group >= n_group) return;
            u = coordinate[16 * group + (lane & 15)];
            j = neighbour[16 * group + (lane & 15)];
        };
        /* While a group is multiplied, the weights of the next are placed and the list entries of the one
         * after that are fetched. */
        fetch(0);
        stage_weights(memory.stage, lane, u);
        uint32_t y = shared_address(memory.y + j * row_stride(C) + column);
        fetch(1);
        int tile = 0, end = __shfl_sync(0xffffffffu, ends, 0);
        bool fresh = true; /* no edge of this tile yet: G starts from zero */
        for (int group = 0; group < n_group; group++) {
            while (group == end) end = __shfl_sync(0xffffffffu, ends, ++tile); /* empty tiles */
            uint32_t weights[4];
            __syncwarp();
            ldmatrix_x4_trans(weights, stage_place + (group & 1) * 2 * 16 * stage_stride);
            const uint32_t y_now = y;
            stage_weights(memory.stage + ((group + 1) & 1) * 16 * stage_stride, lane, u);
            y = shared_address(memory.y + j * row_stride(C) + column);
            fetch(group + 2);
            if (fresh)
                multiply<C, true>(weights, y_now, g);
            else
                multiply<C, false>(weights, y_now, g);
            fresh = group + 1 == end;
            if (fresh) flush_tile<C>(memory.table + tile * 16 * C, memory.mean + tile * C, lane, g, acc);
        }
        __syncwarp();
        store_message<C>(acc, lane, a.scale + slice_index * C,
                         a.out + (size_t)row * a.pass.n_filter + slice_index * C);
    });
}

/* ---- slopes ---- */

/* Quadratic cardinal B-spline: what multiplies row k of the table of differences is b2(u - k + 1/2). */
static __device__ __forceinline__ float quadratic_spline(float x) {
    const float t = fabsf(x), p = fmaxf(1.5f - t, 0.0f), m = fmaxf(0.5f - t, 0.0f);
    return 0.5f * p * p - 1.5f * m * m;
}

template <int C> static __global__ void __launch_bounds__(512, 1) slope_kernel(const struct slope_args a) {
    extern __shared__ __align__(16) char shared[];
    __shared__ int next_row;
    const int n_bead = a.pass.n_bead, n_tile = a.pass.n_tile;
    const int lane = threadIdx.x & 31, knot = lane >> 2, pair = (lane & 3) * 2;
    const struct block_memory memory = block_memory_of(shared, n_bead, C, n_tile);
    load_table(memory.table, a.table, n_tile * 16 * C);
    const int edge = (lane & 7) + 8 * (lane >> 4),
              column = 8 * ((lane >> 3) & 1); /* ldmatrix rows are edges */
    const int result_edge =
        pair + ((lane & 8) ? 1 : 0) + ((lane & 16) ? 8 : 0); /* whose sum this lane ends up with */
    const float centre = (float)knot - 0.5f;                 /* of row knot; row knot + 8: + 8 */

    for_rows_of_block<C>(a.pass, a.pass.features, memory.y, &next_row, [&](int row) {
        const float *coordinate = a.pass.list.coordinate + (size_t)row * a.pass.list.capacity;
        const uint16_t *neighbour = a.pass.list.neighbour + (size_t)row * a.pass.list.capacity;
        const int ends = lane < n_tile ? a.pass.list.tile_end[(size_t)row * FRX_TILE_MAX + lane] : 0;
        const int n_group = __shfl_sync(0xffffffffu, ends, n_tile - 1);
        const half *gradient = a.gradient + (size_t)row * a.pass.n_filter;
        float *slopes = a.slopes + (size_t)row * a.slope_stride;
        half2 g[C / 16][2];
#pragma unroll
        for (int k = 0; k < C / 16; k++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const int c = 16 * k + 8 * h + pair;
                const float *s = a.scale + c; /* powers of two: exact */
                g[k][h] = __hmul2(*(const half2 *)(gradient + c), __floats2half2_rn(s[0], s[1]));
            }
        uint32_t product[C / 16][4]; /* D g_i of the present tile, operand A */
        int tile = -1, end = 0, j = 0, j_result = 0;
        float2 u_lo = {}, u_hi = {};
        if (n_group) {
            u_lo = *(const float2 *)(coordinate + pair);
            u_hi = *(const float2 *)(coordinate + 8 + pair);
            j = neighbour[edge];
            j_result = neighbour[result_edge];
        }
        for (int group = 0; group < n_group; group++) {
            if (group == end) {
                while (group == end) end = __shfl_sync(0xffffffffu, ends, ++tile);
#pragma unroll
                for (int k = 0; k < C / 16; k++) {
                    const uint4 t = *(const uint4 *)(memory.table + tile * 16 * C + (k * 32 + lane) * 8);
                    product[k][0] = half2_bits(__hmul2(bits_half2(t.x), g[k][0]));
                    product[k][1] = half2_bits(__hmul2(bits_half2(t.y), g[k][0]));
                    product[k][2] = half2_bits(__hmul2(bits_half2(t.z), g[k][1]));
                    product[k][3] = half2_bits(__hmul2(bits_half2(t.w), g[k][1]));
                }
            }
            const uint32_t h = shared_address(memory.y + j * row_stride(C) + column);
            float *q_ij = slopes + j_result;
            const float before = a.accumulate ? *q_ij : 0.0f;
            const float2 v_lo = u_lo, v_hi = u_hi;
            if (group + 1 < n_group) { /* fetch the next group while this one is worked on */
                u_lo = *(const float2 *)(coordinate + 16 * (group + 1) + pair);
                u_hi = *(const float2 *)(coordinate + 16 * (group + 1) + 8 + pair);
                j = neighbour[16 * (group + 1) + edge];
                j_result = neighbour[16 * (group + 1) + result_edge];
            }
            float s[2][2][4] = {}; /* two chains per column tile: shorter waits */
            uint32_t b[2][4];
            ldmatrix_x4(b[0], h);
#pragma unroll
            for (int k = 0; k < C / 16; k++) {
                if (k + 1 < C / 16) ldmatrix_x4(b[(k + 1) & 1], h + (k + 1) * 32);
                mma_16x8x16(s[k & 1][0], product[k], b[k & 1][0], b[k & 1][1]);
                mma_16x8x16(s[k & 1][1], product[k], b[k & 1][2], b[k & 1][3]);
            }
#pragma unroll
            for (int n = 0; n < 2; n++)
#pragma unroll
                for (int k = 0; k < 4; k++) s[0][n][k] += s[1][n][k];
            float q[4]; /* edges pair, pair + 1, pair + 8, pair + 9; rows knot and knot + 8 */
            q[0] = s[0][0][0] * quadratic_spline(v_lo.x - centre) +
                   s[0][0][2] * quadratic_spline(v_lo.x - centre - 8);
            q[1] = s[0][0][1] * quadratic_spline(v_lo.y - centre) +
                   s[0][0][3] * quadratic_spline(v_lo.y - centre - 8);
            q[2] = s[0][1][0] * quadratic_spline(v_hi.x - centre) +
                   s[0][1][2] * quadratic_spline(v_hi.x - centre - 8);
            q[3] = s[0][1][1] * quadratic_spline(v_hi.y - centre) +
                   s[0][1][3] * quadratic_spline(v_hi.y - centre - 8);
            /* Sum over the eight knot lanes, halving what each keeps: lane bits 16 and 8 choose the edge. */
            const bool second = lane & 16, odd = lane & 8;
            const float x0 = (second ? q[2] : q[0]) + __shfl_xor_sync(0xffffffffu, second ? q[0] : q[2], 16);
            const float x1 = (second ? q[3] : q[1]) + __shfl_xor_sync(0xffffffffu, second ? q[1] : q[3], 16);
            float x = (odd ? x1 : x0) + __shfl_xor_sync(0xffffffffu, odd ? x0 : x1, 8);
            x += __shfl_xor_sync(0xffffffffu, x, 4);
            if (!(lane & 4)) *q_ij = before + x;
        }
    });
}

/* ---- launchers ---- */

size_t frx_edge_pass_shared(int n_bead, int slice, int n_tile, int n_thread) {
    return sizeof(half) * ((size_t)(n_bead + 1) * row_stride(slice) + (size_t)n_tile * 17 * slice +
                           (size_t)(n_thread / 32) * stage_halves);
}

template <int C> static enum frx_status prepare(int n_thread, size_t shared_bytes, int *n_resident) {
    int n_message = 0, n_slope = 0;
    FRX_CUDA(cudaFuncSetAttribute(message_kernel<C>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  (int)shared_bytes));
    FRX_CUDA(cudaFuncSetAttribute(slope_kernel<C>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  (int)shared_bytes));
    FRX_CUDA(
        cudaOccupancyMaxActiveBlocksPerMultiprocessor(&n_message, message_kernel<C>, n_thread, shared_bytes));
    FRX_CUDA(
        cudaOccupancyMaxActiveBlocksPerMultiprocessor(&n_slope, slope_kernel<C>, n_thread, shared_bytes));
    *n_resident = n_message < n_slope ? n_message : n_slope;
    return FRX_OK;
}

enum frx_status frx_edge_pass_prepare(int slice, int n_thread, size_t shared_bytes, int *n_resident) {
    switch (slice) {
    case 32:
        return prepare<32>(n_thread, shared_bytes, n_resident);
    case 64:
        return prepare<64>(n_thread, shared_bytes, n_resident);
    case 128:
        return prepare<128>(n_thread, shared_bytes, n_resident);
    default:
        return FRX_FAIL(FRX_ERR_INTERNAL, "no kernel for a slice of %d channels", slice);
    }
}

enum frx_status frx_messages_launch(const struct frx_edge_pass *pass, const half *table, const half *mean,
                                    const float *scale, float *out, cudaStream_t stream) {
    const struct message_args args = {*pass, table, mean, scale, out};
    const dim3 grid(pass->n_block, pass->n_filter / pass->slice);
    switch (pass->slice) {
    case 32:
        message_kernel<32><<<grid, pass->n_thread, pass->shared_bytes, stream>>>(args);
        break;
    case 64:
        message_kernel<64><<<grid, pass->n_thread, pass->shared_bytes, stream>>>(args);
        break;
    default:
        message_kernel<128><<<grid, pass->n_thread, pass->shared_bytes, stream>>>(args);
        break;
    }
    return FRX_LAUNCHED("message_kernel");
}

/* One launch per slice: each adds its channels' share to the slopes, in a fixed order. */
enum frx_status frx_pair_slopes_launch(const struct frx_edge_pass *pass, const half *table,
                                       const float *scale, const half *gradient, int accumulate,
                                       float *slopes, int slope_stride, cudaStream_t stream) {
    for (int first = 0; first < pass->n_filter; first += pass->slice) {
        struct slope_args args = {*pass,
                                  table + (size_t)first * 16 * pass->n_tile,
                                  gradient + first,
                                  scale + first,
                                  slopes,
                                  slope_stride,
                                  accumulate || first > 0};
        args.pass.features += first;
        switch (pass->slice) {
        case 32:
            slope_kernel<32><<<pass->n_block, pass->n_thread, pass->shared_bytes, stream>>>(args);
            break;
        case 64:
            slope_kernel<64><<<pass->n_block, pass->n_thread, pass->shared_bytes, stream>>>(args);
            break;
        default:
            slope_kernel<128><<<pass->n_block, pass->n_thread, pass->shared_bytes, stream>>>(args);
            break;
        }
        FRX_TRY(FRX_LAUNCHED("slope_kernel"));
    }
    return FRX_OK;
}
