/* Message kernels in float; formulas in messages.h.
 *
 * A block owns one slice of the channels and keeps that part of the table, [n_row][slice], in shared memory,
 * so that an edge costs no traffic but the neighbour's row of h. The slice is the widest of 128, 64, .. 8
 * channels whose table fits into the block's shared memory (227 KiB on an H100, 99 KiB on consumer cards); a
 * table too long even for that, and a batch too small to pay for staging, is read from global memory by the
 * same code. Blocks stay and take beads in turn.
 *
 * One warp per destination bead. It takes 32 neighbours at a time: each lane computes distance, spline
 * weights and direction of one; then slice/4 lanes, four channels each, work on one neighbour, 128/slice
 * neighbours at once, and get its numbers by shuffles. The lanes that share channels are added at the end, as
 * a tree. The order of every sum is thus fixed by the neighbour list: no atomics, and the same bits for any
 * batch, grid, and staging. Products are written as intrinsics so that all instances round alike. */
#include "messages.h"

#include "vector.h"

#include <stdlib.h>

enum { FORWARD_BLOCK = 1024, BACKWARD_BLOCK = 1024, SMALL_BLOCK = 128, SUM_BLOCK = 128, ZERO_ROWS = 4 };

/* ---- device helpers ---- */

static __device__ __forceinline__ float4 fma4(float s, float4 a, float4 b) {
    return make_float4(__fmaf_rn(s, a.x, b.x), __fmaf_rn(s, a.y, b.y), __fmaf_rn(s, a.z, b.z),
                       __fmaf_rn(s, a.w, b.w));
}
static __device__ __forceinline__ float4 fma4(float4 a, float4 b, float4 c) {
    return make_float4(__fmaf_rn(a.x, b.x, c.x), __fmaf_rn(a.y, b.y, c.y), __fmaf_rn(a.z, b.z, c.z),
                       __fmaf_rn(a.w, b.w, c.w));
}
static __device__ __forceinline__ float4 mul4(float s, float4 a) {
    return make_float4(__fmul_rn(s, a.x), __fmul_rn(s, a.y), __fmul_rn(s, a.z), __fmul_rn(s, a.w));
}
static __device__ __forceinline__ float4 mul4(float4 a, float4 b) {
    return make_float4(__fmul_rn(a.x, b.x), __fmul_rn(a.y, b.y), __fmul_rn(a.z, b.z), __fmul_rn(a.w, b.w));
}
static __device__ __forceinline__ float dot4(float4 a, float4 b) {
    return __fmaf_rn(a.x, b.x, __fmaf_rn(a.y, b.y, __fmaf_rn(a.z, b.z, __fmul_rn(a.w, b.w))));
}

/* One neighbour as the lane that looked at it knows it. A lane without one has a valid address and the zero
 * rows behind the table. */
struct edge {
    float t;
    float3 pull;        /* (x_i - x_j)/r times the density of knots: turns a slope by t into one by r */
    unsigned int place; /* row << 16 | j */
};

static __device__ __forceinline__ struct edge make_edge(const struct frx_filter_grid &grid, const float *x_r,
                                                        int i, const uint16_t *list, int k, int n) {
    struct edge edge = {};
    edge.place = (unsigned int)grid.n_row << 16 | i;
    if (k >= n) return edge;
    const int j = list[k];
    const float3 d = load3(x_r, i) - load3(x_r, j);
    const float r = __fsqrt_rn(dot(d, d));
    float density;
    edge.place = (unsigned int)frx_filter_place(&grid, r, &edge.t, &density) << 16 | j;
    edge.pull = __fmul_rn(density, __frcp_rn(r)) * d;
    return edge;
}

/* A warp looks at 32 neighbours and then works on 32/LANES of them at a time: in turn k on numbers 32/LANES k
 * and those that follow, one per group of LANES lanes. Neighbour 32/LANES k + group is looked at by lane
 * LANES group + k, so that a group has its own neighbours and a sum over a group ends where it is needed. */
template <int LANES> static __device__ __forceinline__ int neighbour_of_lane(int lane) {
    return 32 / LANES * (lane % LANES) + lane / LANES;
}

static __device__ __forceinline__ float4 feature_row(const float *features, unsigned int place,
                                                     unsigned int n_filter) {
    return *(const float4 *)((const char *)features + (uint64_t)(place & 0xffff) * (4 * n_filter));
}

/* Sum of the lanes that hold the same channels. */
template <int LANES> static __device__ __forceinline__ float4 sum_groups(float4 a) {
#pragma unroll
    for (int step = LANES; step < 32; step *= 2) {
        a.x += __shfl_xor_sync(0xffffffffu, a.x, step);
        a.y += __shfl_xor_sync(0xffffffffu, a.y, step);
        a.z += __shfl_xor_sync(0xffffffffu, a.z, step);
        a.w += __shfl_xor_sync(0xffffffffu, a.w, step);
    }
    return a;
}

/* Sums over the lanes of a group of N numbers each: lane l gets that of number l % N. */
template <int LANES, int N> static __device__ __forceinline__ float sum_each(float (&part)[N], int lane) {
#pragma unroll
    for (int half = N / 2; half > 0; half /= 2)
#pragma unroll
        for (int k = 0; k < half; k++) {
            const float low = part[k], high = part[k + half];
            const float other = __shfl_xor_sync(0xffffffffu, lane & half ? low : high, half);
            part[k] = __fadd_rn(lane & half ? high : low, other);
        }
#pragma unroll
    for (int step = N; step < LANES; step *= 2)
        part[0] = __fadd_rn(part[0], __shfl_xor_sync(0xffffffffu, part[0], step));
    return part[0];
}

/* The block's part of the table: where it is, staged or not. */
template <int LANES, int STAGED>
static __device__ __forceinline__ const float *block_table(const struct frx_messages &messages, int l,
                                                           int slice) {
    extern __shared__ float4 shared[];
    const size_t n = (size_t)(messages.grid.n_row + ZERO_ROWS) * LANES;
    const float4 *table =
        (const float4 *)messages.table + ((size_t)l * (messages.n_filter / (4 * LANES)) + slice) * n;
    if constexpr (STAGED) {
        for (size_t k = threadIdx.x; k < n; k += blockDim.x) shared[k] = table[k];
        __syncthreads();
        return (const float *)shared;
    } else {
        return (const float *)table;
    }
}

/* ---- kernels: LANES = slice/4 ---- */

template <int LANES, int STAGED>
static __global__ void __launch_bounds__(FORWARD_BLOCK, 1)
    forward_kernel(const __grid_constant__ struct frx_messages messages, int l,
                   const float *__restrict__ positions, const float *__restrict__ h, int h_stride,
                   float *__restrict__ m) {
    const int n_slice = messages.n_filter / (4 * LANES), slice = blockIdx.x % n_slice;
    const int warp =
        __shfl_sync(0xffffffffu, threadIdx.x / 32, 0); /* so the compiler sees a uniform number */
    const int lane = threadIdx.x % 32, group = lane / LANES, n_bead = messages.neighbours.n_bead;
    const int channel = slice * 4 * LANES + 4 * (lane % LANES), n_filter = messages.n_filter;
    const float *table = block_table<LANES, STAGED>(messages, l, slice) + 4 * (lane % LANES);
    frx_await_inputs();
    const int n_item = messages.neighbours.n_rep * n_bead, stride = gridDim.x / n_slice * (blockDim.x / 32);
    for (int item = blockIdx.x / n_slice * (blockDim.x / 32) + warp; item < n_item; item += stride) {
        const int r = item / n_bead, i = item - r * n_bead;
        const float *x_r = positions + (size_t)r * n_bead * 3;
        const float *h_r = h + (size_t)r * h_stride * n_filter + channel;
        const uint16_t *list = messages.neighbours.list + (size_t)item * messages.neighbours.capacity;
        const int n = messages.neighbours.n_neighbour[item];
        float4 sum = make_float4(0, 0, 0, 0);
        for (int first = 0; first < n; first += 32) {
            const struct edge edge =
                make_edge(messages.grid, x_r, i, list, first + neighbour_of_lane<LANES>(lane), n);
            const int last = min(32, n - first);
#pragma unroll 1
            for (int turn = 0; turn * (32 / LANES) < last; turn += 2)
#pragma unroll
                for (int k = turn; k < turn + 2; k++) {
                    const unsigned int place = __shfl_sync(0xffffffffu, edge.place, group * LANES + k);
                    const float t = __shfl_sync(0xffffffffu, edge.t, group * LANES + k);
                    const float4 h_j = feature_row(h_r, place, n_filter);
                    const float4 *row = (const float4 *)(table + (place >> 16) * (4 * LANES));
                    float w[4], dw[4];
                    frx_filter_weights(t, 1.0f, w, dw);
                    float4 value = mul4(w[0], row[0]);
                    value = fma4(w[1], row[LANES], value);
                    value = fma4(w[2], row[2 * LANES], value);
                    value = fma4(w[3], row[3 * LANES], value);
                    sum = fma4(value, h_j, sum);
                }
        }
        sum = sum_groups<LANES>(sum);
        if (group == 0) *(float4 *)(m + (size_t)item * n_filter + channel) = sum;
    }
}

template <int LANES, int STAGED, int WITH_DH>
static __global__ void __launch_bounds__(BACKWARD_BLOCK, 1)
    backward_kernel(const __grid_constant__ struct frx_messages messages, int l,
                    const float *__restrict__ positions, const float *__restrict__ h, int h_stride,
                    const float *__restrict__ g, float *__restrict__ dh) {
    const int n_slice = messages.n_filter / (4 * LANES), slice = blockIdx.x % n_slice;
    const int warp =
        __shfl_sync(0xffffffffu, threadIdx.x / 32, 0); /* so the compiler sees a uniform number */
    const int lane = threadIdx.x % 32, group = lane / LANES, n_bead = messages.neighbours.n_bead;
    const int channel = slice * 4 * LANES + 4 * (lane % LANES), n_filter = messages.n_filter;
    const float *table = block_table<LANES, STAGED>(messages, l, slice) + 4 * (lane % LANES);
    enum { N_TURN = LANES < 4 ? LANES : 4 }; /* whose sums over a group are made together */
    frx_await_inputs();
    const int n_item = messages.neighbours.n_rep * n_bead, stride = gridDim.x / n_slice * (blockDim.x / 32);
    float *partial_force = messages.partial_force + ((size_t)l * n_slice + slice) * n_item * 3;
    for (int item = blockIdx.x / n_slice * (blockDim.x / 32) + warp; item < n_item; item += stride) {
        const int r = item / n_bead, i = item - r * n_bead;
        const float *x_r = positions + (size_t)r * n_bead * 3;
        const float *h_r = h + (size_t)r * h_stride * n_filter + channel;
        const float *g_r = g + (size_t)r * n_bead * n_filter + channel;
        const float4 h_i = *(const float4 *)(h_r + (size_t)i * n_filter);
        const float4 g_i = *(const float4 *)(g_r + (size_t)i * n_filter);
        const uint16_t *list = messages.neighbours.list + (size_t)item * messages.neighbours.capacity;
        const int n = messages.neighbours.n_neighbour[item];
        float4 sum = make_float4(0, 0, 0, 0);
        float3 force = make_float3(0, 0, 0);
        for (int first = 0; first < n; first += 32) {
            const struct edge edge =
                make_edge(messages.grid, x_r, i, list, first + neighbour_of_lane<LANES>(lane), n);
            const int last = min(32, n - first);
            float slope = 0; /* by t, of the neighbour this lane looked at */
#pragma unroll 1
            for (int turn = 0; turn * (32 / LANES) < last; turn += N_TURN) {
                float part[N_TURN] = {};
#pragma unroll
                for (int k = 0; k < N_TURN; k++) {
                    if (k % 2 == 0 && (turn + k) * (32 / LANES) >= last) break;
                    const int source = group * LANES + turn + k;
                    const unsigned int place = __shfl_sync(0xffffffffu, edge.place, source);
                    const float t = __shfl_sync(0xffffffffu, edge.t, source);
                    const float4 h_j = feature_row(h_r, place, n_filter);
                    const float4 g_j = feature_row(g_r, place, n_filter);
                    const float4 *row = (const float4 *)(table + (place >> 16) * (4 * LANES));
                    float w[4], dw[4];
                    frx_filter_weights(t, 1.0f, w, dw);
                    float4 value = make_float4(0, 0, 0, 0), derivative = value;
#pragma unroll
                    for (int q = 0; q < 4; q++) {
                        const float4 coefficient = row[q * LANES];
                        if (WITH_DH) value = fma4(w[q], coefficient, value);
                        derivative = fma4(dw[q], coefficient, derivative);
                    }
                    if (WITH_DH) sum = fma4(value, g_j, sum);
                    const float4 both = fma4(g_i, h_j, mul4(g_j, h_i));
                    part[k] = dot4(derivative, both);
                }
                const float all = sum_each<LANES>(part, lane);
                if (lane % LANES / N_TURN == turn / N_TURN) slope = all;
            }
            force.x = __fmaf_rn(-slope, edge.pull.x, force.x);
            force.y = __fmaf_rn(-slope, edge.pull.y, force.y);
            force.z = __fmaf_rn(-slope, edge.pull.z, force.z);
        }
        if (WITH_DH) {
            sum = sum_groups<LANES>(sum);
            if (group == 0) *(float4 *)(dh + (size_t)item * n_filter + channel) = sum;
        }
        force = make_float3(warp_sum(force.x), warp_sum(force.y), warp_sum(force.z));
        if (lane == 0) store3(partial_force, item, force);
    }
}

static __global__ void force_kernel(const float *__restrict__ partial_force, int n_part, int n,
                                    float *__restrict__ forces) {
    const int k = blockIdx.x * SUM_BLOCK + threadIdx.x;
    frx_await_inputs();
    if (k >= n) return;
    float sum = 0;
    for (int p = 0; p < n_part; p++) sum += partial_force[(size_t)p * n + k];
    forces[k] = sum;
}

/* ---- setting up ---- */

typedef void (*forward_function)(struct frx_messages, int, const float *, const float *, int, float *);
typedef void (*backward_function)(struct frx_messages, int, const float *, const float *, int, const float *,
                                  float *);

template <int STAGED> static forward_function forward_for(int slice) {
    return slice == 128  ? forward_kernel<32, STAGED>
           : slice == 64 ? forward_kernel<16, STAGED>
           : slice == 32 ? forward_kernel<8, STAGED>
           : slice == 16 ? forward_kernel<4, STAGED>
                         : forward_kernel<2, STAGED>;
}

template <int STAGED, int WITH_DH> static backward_function backward_for(int slice) {
    return slice == 128  ? backward_kernel<32, STAGED, WITH_DH>
           : slice == 64 ? backward_kernel<16, STAGED, WITH_DH>
           : slice == 32 ? backward_kernel<8, STAGED, WITH_DH>
           : slice == 16 ? backward_kernel<4, STAGED, WITH_DH>
                         : backward_kernel<2, STAGED, WITH_DH>;
}

static size_t staged_bytes(const struct frx_messages *messages) {
    return (size_t)(messages->grid.n_row + ZERO_ROWS) * messages->slice * sizeof(float);
}

void frx_messages_init(struct frx_messages *messages, const struct frx_filter_table *table, int n_rep,
                       int n_bead) {
    *messages = {};
    messages->n_interaction = table->n_interaction;
    messages->n_filter = frx_padded_width(table->n_filter);
    messages->grid = table->grid;
    messages->neighbours.n_rep = n_rep;
    messages->neighbours.n_bead = n_bead;
    messages->neighbours.r_lo = table->grid.r_lo;
    messages->neighbours.r_hi = table->grid.r_hi;
}

void frx_messages_layout(struct frx_messages *messages, struct frx_arena *arena) {
    const size_t n_item = (size_t)messages->neighbours.n_rep * messages->neighbours.n_bead;
    const size_t n_slice = (size_t)messages->n_filter / 8; /* the most there can be */
    frx_neighbours_layout(&messages->neighbours, arena);
    FRX_TAKE(arena, messages->table,
             (size_t)messages->n_interaction * (messages->grid.n_row + ZERO_ROWS) * messages->n_filter);
    FRX_TAKE(arena, messages->partial_force, messages->n_interaction * n_slice * n_item * 3);
}

/* Staging pays when a block reads more rows than it has to copy. */
static int worth_staging(const struct frx_messages *messages) {
    const int64_t n_bead = messages->neighbours.n_bead;
    return messages->neighbours.n_rep * n_bead * (n_bead - 1) > 16 * (int64_t)messages->grid.n_row;
}

static enum frx_status choose_slice(struct frx_messages *messages) {
    size_t limit, multiprocessor;
    int device;
    FRX_TRY(frx_device_shared_memory(&limit, &multiprocessor));
    FRX_CUDA(cudaGetDevice(&device));
    FRX_CUDA(cudaDeviceGetAttribute(&messages->n_block, cudaDevAttrMultiProcessorCount, device));
    for (messages->slice = 128; messages->slice >= 8; messages->slice /= 2)
        if (messages->n_filter % messages->slice == 0 && staged_bytes(messages) <= limit) break;
    messages->staged = messages->slice >= 8 && worth_staging(messages);
    if (messages->slice < 8) messages->slice = messages->n_filter % 128 == 0 ? 128 : FRX_CHANNEL_PAD;
    if (!messages->staged) return FRX_OK;
    const int bytes = (int)staged_bytes(messages);
    FRX_CUDA(cudaFuncSetAttribute(forward_for<1>(messages->slice),
                                  cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    for (int with_dh = 0; with_dh < 2; with_dh++)
        FRX_CUDA(cudaFuncSetAttribute(with_dh ? backward_for<1, 1>(messages->slice)
                                              : backward_for<1, 0>(messages->slice),
                                      cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    return FRX_OK;
}

enum frx_status frx_messages_upload(struct frx_messages *messages, const struct frx_filter_table *table,
                                    cudaStream_t stream) {
    FRX_TRY(choose_slice(messages));
    const size_t n_row = (size_t)messages->grid.n_row, slice = (size_t)messages->slice;
    const size_t pitch = n_row + ZERO_ROWS, n = (size_t)messages->n_interaction * pitch * messages->n_filter;
    float *copy = (float *)calloc(n, sizeof *copy);
    if (!copy) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a copy of the filter tables");
    for (size_t l = 0; l < (size_t)messages->n_interaction; l++)
        for (size_t row = 0; row < n_row; row++)
            for (size_t c = 0; c < (size_t)table->n_filter; c++)
                copy[((l * (messages->n_filter / slice) + c / slice) * pitch + row) * slice + c % slice] =
                    (float)table->coefficient[(l * n_row + row) * table->n_filter + c];
    enum frx_status status = frx_cuda_status(
        cudaMemcpyAsync(messages->table, copy, n * sizeof *copy, cudaMemcpyHostToDevice, stream),
        "filter tables", __FILE__, __LINE__);
    if (status == FRX_OK)
        status = frx_cuda_status(cudaStreamSynchronize(stream), "filter tables", __FILE__, __LINE__);
    free(copy);
    return status;
}

/* ---- launchers ---- */

/* Blocks and threads: no more blocks than have work, a multiple of the number of slices. Staged, one block
 * fills a multiprocessor; otherwise small blocks spread out. */
struct shape {
    int grid, block;
    size_t shared;
};

static struct shape choose_shape(const struct frx_messages *messages, int largest) {
    const int block = messages->staged ? largest : SMALL_BLOCK;
    const int n_slice = messages->n_filter / messages->slice, n_warp = block / 32;
    const int n_item = messages->neighbours.n_rep * messages->neighbours.n_bead;
    const int wanted = (n_item + n_warp - 1) / n_warp;
    const int room = messages->staged ? max(messages->n_block / n_slice, 1) : wanted;
    return {n_slice * min(wanted, room), block, messages->staged ? staged_bytes(messages) : 0};
}

enum frx_status frx_messages_forward(const struct frx_messages *messages, int l, const float *positions,
                                     const float *h, int h_stride, float *m, cudaStream_t stream) {
    const struct shape shape = choose_shape(messages, FORWARD_BLOCK);
    const forward_function kernel =
        messages->staged ? forward_for<1>(messages->slice) : forward_for<0>(messages->slice);
    return frx_launch("messages", kernel, shape.grid, shape.block, shape.shared, stream, *messages, l,
                      positions, h, h_stride, m);
}

enum frx_status frx_messages_backward(const struct frx_messages *messages, int l, const float *positions,
                                      const float *h, int h_stride, const float *g, float *dh,
                                      cudaStream_t stream) {
    const struct shape shape = choose_shape(messages, BACKWARD_BLOCK);
    const int slice = messages->slice;
    const backward_function kernel = messages->staged
                                         ? (dh ? backward_for<1, 1>(slice) : backward_for<1, 0>(slice))
                                         : (dh ? backward_for<0, 1>(slice) : backward_for<0, 0>(slice));
    return frx_launch("messages, backward", kernel, shape.grid, shape.block, shape.shared, stream, *messages,
                      l, positions, h, h_stride, g, dh);
}

enum frx_status frx_messages_forces(const struct frx_messages *messages, float *forces, cudaStream_t stream) {
    const int n = messages->neighbours.n_rep * messages->neighbours.n_bead * 3;
    return frx_launch("forces of the network", force_kernel, (n + SUM_BLOCK - 1) / SUM_BLOCK, SUM_BLOCK, 0,
                      stream, messages->partial_force,
                      messages->n_interaction * (messages->n_filter / messages->slice), n, forces);
}
