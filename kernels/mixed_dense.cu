/* Dense layers of the mixed-precision network: chains of matrix products on rows that never leave the block.
 *
 * forward:  z = tanh(m W3^T + b3);  x += z W4^T + b4;  h' = x W1'^T            m [rows][F], x [rows][H], h'
 * [rows][F] backward: gx += dh W1';  g = ((gx W4) (1 - z^2)) W3                           gx [rows][H], g
 * [rows][F] output:   a_k = tanh(a_{k-1} V_k^T + b_k), e = scale (v a + b), and the way back to gx
 *
 * These products cost little beside the edges, but their rounding is common to all beads and adds up in the
 * energy. So every operand is the sum of two halves, high and low, and a product is three tensor-core
 * products (high high, high low, low high): 22 bits, as good as float here.
 *
 * Parallel mapping: a block of 8 warps owns 48 rows from start to end; a warp computes 16 columns at a time
 * of all of them. Activations are in shared memory; weights come in operand order from global memory (L2,
 * L1), 16 bytes per lane, and each is used for three row tiles.
 * A row's result depends on that row only. Shared memory: two activations of 32 rows, high and low, padded by
 * 8 halves against bank conflicts. */
#include "device.h"
#include "mixed.h"
#include "mma.cuh"

enum { dense_warps = 8, block_rows = 48, row_tiles = block_rows / 16 };

static __host__ __device__ __forceinline__ int padded(int width) {
    return width + 8;
}

/* Activations of the block's rows as high + low, each [48][padded(width)]. */
struct activation {
    half *high, *low;
    int stride;
};

static __host__ __device__ __forceinline__ size_t activation_halves(int width) {
    return 2 * block_rows * padded(width);
}

static __device__ __forceinline__ struct activation activation_at(half *memory, int width) {
    struct activation a;
    a.stride = padded(width);
    a.high = memory;
    a.low = memory + block_rows * a.stride;
    return a;
}

static __device__ __forceinline__ void put(const struct activation &a, int row, int column, float v0,
                                           float v1) {
    const half2 high = __floats2half2_rn(v0, v1);
    const float2 rounded = __half22float2(high);
    *(half2 *)(a.high + row * a.stride + column) = high;
    *(half2 *)(a.low + row * a.stride + column) = __floats2half2_rn(v0 - rounded.x, v1 - rounded.y);
}

/* For every element (row, column) and (row, column + 1) of in W: epilogue(row in 0..47, column, v0, v1, p)
 * with p = prefetch(row, column), a pair of numbers that is fetched from global memory before the products so
 * that nobody waits for it after. Exact: three products of halves; otherwise high times high alone. */
template <bool exact, typename prefetch_type, typename epilogue_type>
static __device__ __forceinline__ void product(const struct activation &in, int n_in, int n_out,
                                               const uint4 *weight, prefetch_type prefetch,
                                               epilogue_type epilogue) {
    const int lane = threadIdx.x & 31, n_step = n_in / 16, n_pair = n_out / 16;
    const int place = (lane & 15) * in.stride + 8 * (lane >> 4);
    const uint32_t high = shared_address(in.high + place), low = shared_address(in.low + place);
    const uint32_t next_tile = 2 * 16 * in.stride; /* bytes */
    for (int pair = threadIdx.x >> 5; pair < n_pair; pair += dense_warps) {
        float d[row_tiles][2][4] = {}; /* row tile, column tile */
        float2 ahead[row_tiles][2][2];
        const auto each = [&](auto action) {
#pragma unroll
            for (int t = 0; t < row_tiles; t++)
#pragma unroll
                for (int c = 0; c < 2; c++)
#pragma unroll
                    for (int h = 0; h < 2; h++)
                        action(16 * t + (lane >> 2) + 8 * h, pair * 16 + c * 8 + (lane & 3) * 2,
                               ahead[t][c][h], d[t][c][2 * h], d[t][c][2 * h + 1]);
        };
        each([&](int row, int column, float2 &p, float, float) { p = prefetch(row, column); });
        const uint4 *w = weight + (size_t)pair * n_step * 64 + lane;
#pragma unroll 2
        for (int step = 0; step < n_step; step++) {
            const uint4 w_high = __ldg(w + step * 64), w_low = exact ? __ldg(w + step * 64 + 32) : w_high;
            uint32_t a_high[row_tiles][4], a_low[row_tiles][4];
#pragma unroll
            for (int t = 0; t < row_tiles; t++) {
                ldmatrix_x4(a_high[t], high + t * next_tile + step * 32);
                if (exact) ldmatrix_x4(a_low[t], low + t * next_tile + step * 32);
            }
            /* small terms first, and neighbouring products on different sums */
            if (exact) {
#pragma unroll
                for (int t = 0; t < row_tiles; t++) {
                    mma_16x8x16(d[t][0], a_low[t], w_high.x, w_high.y);
                    mma_16x8x16(d[t][1], a_low[t], w_high.z, w_high.w);
                }
#pragma unroll
                for (int t = 0; t < row_tiles; t++) {
                    mma_16x8x16(d[t][0], a_high[t], w_low.x, w_low.y);
                    mma_16x8x16(d[t][1], a_high[t], w_low.z, w_low.w);
                }
            }
#pragma unroll
            for (int t = 0; t < row_tiles; t++) {
                mma_16x8x16(d[t][0], a_high[t], w_high.x, w_high.y);
                mma_16x8x16(d[t][1], a_high[t], w_high.z, w_high.w);
            }
        }
        each([&](int row, int column, float2 p, float v0, float v1) { epilogue(row, column, v0, v1, p); });
    }
    __syncthreads();
}

/* Rows of floats from global into shared memory; rows beyond n_row become zero. */
static __device__ __forceinline__ void stage_rows(const struct activation &a, const float *rows, int first,
                                                  int n_row, int width) {
    const int vectors = width / 2;
    for (int k = threadIdx.x; k < block_rows * vectors; k += 32 * dense_warps) {
        const int row = k / vectors, v = k % vectors;
        const float2 x = first + row < n_row ? *(const float2 *)(rows + (size_t)(first + row) * width + 2 * v)
                                             : make_float2(0, 0);
        put(a, row, 2 * v, x.x, x.y);
    }
    __syncthreads();
}

/* No prefetch. */
static __device__ __forceinline__ float2 nothing(int, int) {
    return make_float2(0, 0);
}

static __device__ __forceinline__ float2 bias_at(const float *bias, int column) {
    return __ldg((const float2 *)(bias + column));
}

static __global__ void __launch_bounds__(32 * dense_warps, 3)
    dense_forward_kernel(const struct frx_dense_forward a) {
    extern __shared__ __align__(16) half shared[];
    const int first = blockIdx.x * block_rows, F = a.n_filter, H = a.n_hidden;
    half *other = shared + activation_halves(max(F, H));
    const struct activation m = activation_at(shared, F), z = activation_at(other, H),
                            x = activation_at(shared, H);
    stage_rows(m, a.m, first, a.n_row, F);
    product<true>(
        m, F, H, a.lin2.weight, [&](int, int c) { return bias_at(a.lin2.bias, c); },
        [&](int row, int c, float v0, float v1, float2 bias) {
            const float t0 = tanh_fast(v0 + bias.x), t1 = tanh_fast(v1 + bias.y);
            put(z, row, c, t0, t1);
            if (first + row < a.n_row)
                *(half2 *)(a.slope + (size_t)(first + row) * H + c) =
                    __floats2half2_rn(1 - t0 * t0, 1 - t1 * t1);
        });
    product<true>(
        z, H, H, a.lin.weight,
        [&](int row, int c) {
            const int at = min(first + row, a.n_row - 1);
            const float2 b = bias_at(a.lin.bias, c),
                         old = a.embedding
                                   ? __ldg((const float2 *)(a.embedding +
                                                            (size_t)__ldg(a.type + at % a.n_bead) * H + c))
                                   : *(const float2 *)(a.x + (size_t)at * H + c);
            return make_float2(old.x + b.x, old.y + b.y);
        },
        [&](int row, int c, float v0, float v1, float2 old) {
            put(x, row, c, old.x + v0, old.y + v1);
            if (first + row < a.n_row)
                *(float2 *)(a.x + (size_t)(first + row) * H + c) = make_float2(old.x + v0, old.y + v1);
        });
    if (!a.h) return;
    product<true>(x, H, F, a.next_lin1.weight, nothing, [&](int row, int c, float v0, float v1, float2) {
        if (first + row < a.n_row)
            *(half2 *)(a.h + (size_t)(first + row) * F + c) = __floats2half2_rn(v0, v1);
    });
}

static __global__ void __launch_bounds__(32 * dense_warps, 3)
    dense_backward_kernel(const struct frx_dense_backward a) {
    extern __shared__ __align__(16) half shared[];
    const int first = blockIdx.x * block_rows, F = a.n_filter, H = a.n_hidden;
    half *other = shared + activation_halves(max(F, H));
    const struct activation gx = activation_at(shared, H), dh = activation_at(other, F),
                            y = activation_at(other, H);
    if (a.dh) {
        stage_rows(dh, a.dh, first, a.n_row, F);
        product<false>(
            dh, F, H, a.next_lin1.transposed,
            [&](int row, int c) {
                return *(const float2 *)(a.gx + (size_t)min(first + row, a.n_row - 1) * H + c);
            },
            [&](int row, int c, float v0, float v1, float2 old) {
                put(gx, row, c, old.x + v0, old.y + v1);
                if (first + row < a.n_row)
                    *(float2 *)(a.gx + (size_t)(first + row) * H + c) = make_float2(old.x + v0, old.y + v1);
            });
    } else {
        stage_rows(gx, a.gx, first, a.n_row, H);
    }
    product<false>(
        gx, H, H, a.lin.transposed,
        [&](int row, int c) {
            return __half22float2(*(const half2 *)(a.slope + (size_t)min(first + row, a.n_row - 1) * H + c));
        },
        [&](int row, int c, float v0, float v1, float2 slope) {
            put(y, row, c, v0 * slope.x, v1 * slope.y);
        });
    product<false>(y, H, F, a.lin2.transposed, nothing, [&](int row, int c, float v0, float v1, float2) {
        if (first + row < a.n_row)
            *(half2 *)(a.g + (size_t)(first + row) * F + c) = __floats2half2_rn(v0, v1);
    });
}

/* Halves of shared memory for the output network: x, then every hidden layer's activation and gradient. */
static __host__ __device__ __forceinline__ size_t output_halves(const struct frx_output_network &a) {
    size_t halves = activation_halves(a.n_hidden);
    for (int k = 0; k < a.n_layer; k++) halves += 2 * activation_halves(a.layer[k].n_out);
    return halves;
}

/* Energy of the block's rows from the last hidden activation, a warp per row; lane = column. */
static __device__ void bead_energies(const struct frx_output_network &a, const struct activation &in,
                                     int width, int first) {
    const int lane = threadIdx.x & 31;
    for (int row = threadIdx.x >> 5; row < block_rows; row += dense_warps) {
        float e = 0;
        for (int c = lane; c < width; c += 32)
            e += (__half2float(in.high[row * in.stride + c]) + __half2float(in.low[row * in.stride + c])) *
                 a.last_weight[c];
        for (int step = 16; step; step >>= 1) e += __shfl_xor_sync(0xffffffffu, e, step);
        if (lane == 0 && first + row < a.n_row)
            a.bead_energy[first + row] = a.energy_scale * (e + a.last_bias);
    }
}

static __global__ void __launch_bounds__(32 * dense_warps) output_kernel(const struct frx_output_network a) {
    extern __shared__ __align__(16) half shared[];
    const int first = blockIdx.x * block_rows;
    const float seed = a.energy_scale * a.gradient_scale;
    struct activation in = activation_at(shared, a.n_hidden);
    half *next = shared + activation_halves(a.n_hidden);
    int width = a.n_hidden;
    stage_rows(in, a.x, first, a.n_row, width);
    for (int k = 0; k < a.n_layer;
         k++) { /* activation, and beside it its slope, which becomes the gradient */
        const int n_out = a.layer[k].n_out;
        const bool last = k == a.n_layer - 1;
        const struct activation out = activation_at(next, n_out),
                                slope = activation_at(next + activation_halves(n_out), n_out);
        product<true>(
            in, width, n_out, a.layer[k].weight, [&](int, int c) { return bias_at(a.layer[k].bias, c); },
            [&](int row, int c, float v0, float v1, float2 bias) {
                const float2 v = last ? __ldg((const float2 *)(a.last_weight + c)) : make_float2(1, 1);
                const float t0 = tanh_fast(v0 + bias.x), t1 = tanh_fast(v1 + bias.y), s = last ? seed : 1.0f;
                put(out, row, c, t0, t1);
                put(slope, row, c, s * v.x * (1 - t0 * t0), s * v.y * (1 - t1 * t1));
            });
        in = out;
        width = n_out;
        next += 2 * activation_halves(n_out);
    }
    if (a.bead_energy) bead_energies(a, in, width, first);
    if (a.n_layer == 0) { /* a single linear layer: the gradient is its weight */
        for (int k = threadIdx.x; k < block_rows * width; k += 32 * dense_warps)
            if (first + k / width < a.n_row)
                a.gx[(size_t)first * width + k] = seed * a.last_weight[k % width];
        return;
    }
    next -= activation_halves(width);
    for (int k = a.n_layer - 1; k >= 0; k--) { /* next: gradient of layer k's output before its tanh */
        const int below = k > 0 ? a.layer[k - 1].n_out : a.n_hidden;
        half *next_below = next - activation_halves(width) - activation_halves(below);
        const struct activation gradient = activation_at(next, width),
                                slope = activation_at(next_below, below);
        product<false>(gradient, width, below, a.layer[k].transposed, nothing,
                       [&](int row, int c, float v0, float v1, float2) {
                           if (k > 0) {
                               const int at = row * slope.stride + c;
                               const float2 high = __half22float2(*(half2 *)(slope.high + at)),
                                            low = __half22float2(*(half2 *)(slope.low + at));
                               put(slope, row, c, v0 * (high.x + low.x), v1 * (high.y + low.y));
                           } else if (first + row < a.n_row) {
                               *(float2 *)(a.gx + (size_t)(first + row) * below + c) = make_float2(v0, v1);
                           }
                       });
        next = next_below;
        width = below;
    }
}

static int n_block_of(int n_row) {
    return (n_row + block_rows - 1) / block_rows;
}

static size_t chain_bytes(int n_filter, int n_hidden) {
    return 2 * sizeof(half) * activation_halves(n_filter > n_hidden ? n_filter : n_hidden);
}

enum frx_status frx_mixed_dense_prepare(int n_filter, int n_hidden, const struct frx_output_network *output) {
    size_t limit = 0;
    FRX_TRY(frx_device_shared_limit(&limit));
    const size_t chain = chain_bytes(n_filter, n_hidden), out = sizeof(half) * output_halves(*output);
    if (chain > limit || out > limit)
        return FRX_FAIL(FRX_ERR_UNSUPPORTED,
                        "layers of %d and %d channels need %zu bytes of shared memory, this GPU has %zu: use "
                        "single precision",
                        n_filter, n_hidden, chain > out ? chain : out, limit);
    FRX_CUDA(
        cudaFuncSetAttribute(dense_forward_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)chain));
    FRX_CUDA(
        cudaFuncSetAttribute(dense_backward_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)chain));
    FRX_CUDA(cudaFuncSetAttribute(output_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)out));
    return FRX_OK;
}

enum frx_status frx_dense_forward_launch(const struct frx_dense_forward *args, cudaStream_t stream) {
    const size_t bytes = chain_bytes(args->n_filter, args->n_hidden);
    dense_forward_kernel<<<n_block_of(args->n_row), 32 * dense_warps, bytes, stream>>>(*args);
    return FRX_LAUNCHED("dense_forward_kernel");
}

enum frx_status frx_dense_backward_launch(const struct frx_dense_backward *args, cudaStream_t stream) {
    const size_t bytes = chain_bytes(args->n_filter, args->n_hidden);
    dense_backward_kernel<<<n_block_of(args->n_row), 32 * dense_warps, bytes, stream>>>(*args);
    return FRX_LAUNCHED("dense_backward_kernel");
}

enum frx_status frx_output_launch(const struct frx_output_network *args, cudaStream_t stream) {
    output_kernel<<<n_block_of(args->n_row), 32 * dense_warps, sizeof(half) * output_halves(*args), stream>>>(
        *args);
    return FRX_LAUNCHED("output_kernel");
}
