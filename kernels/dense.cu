/* Dense layers on tensor cores; formulas and shapes in dense.h.
 *
 * Tensor cores multiply numbers of 11 bits and accumulate in float. An operand is the sum of two halves, v =
 * high
 * + low/2048 - the factor keeps the low part away from where halves lose digits - and a product is three
 * tensor-core products, high high + (high low + low high)/2048: 22 bits, as good as float here. Where 16 bits
 * are enough, high high alone.
 *
 * Parallel mapping: a block of 8 warps owns 48 rows from start to end - 16 when there are few rows or layers
 * are wide -; a warp computes 16 columns at a time of all of them. Activations are in shared memory; weights
 * come in operand order from global memory (L2, L1), 16 bytes per lane, and each is used for all row tiles.
 * Shared memory: two activations of the block's rows, high and low, padded by 8 halves against bank
 * conflicts; in the output network all of its activations. */
#include "dense.h"

#include "mma.cuh"

#include <math.h>
#include <stdlib.h>

enum { dense_warps = 8, many_tiles = 3 };

#define LOW_SCALE 2048.0f

/* ---- weights ---- */

void frx_gpu_dense_layout(struct frx_gpu_dense *dense, int n_in, int n_out, struct frx_arena *arena) {
    dense->n_in = n_in;
    dense->n_out = n_out;
    FRX_TAKE(arena, dense->weight, (size_t)n_in * n_out / 4);
    FRX_TAKE(arena, dense->transposed, (size_t)n_in * n_out / 4);
    FRX_TAKE(arena, dense->bias, n_out);
}

static double element(const struct frx_dense *dense, int transpose, int out, int in) {
    const int row = transpose ? in : out, column = transpose ? out : in;
    if (row >= dense->n_out || column >= dense->n_in) return 0;
    return dense->weight[(size_t)row * dense->n_in + column];
}

/* W (or W^T) in the order of operand B (mma.cuh). */
static void pack(const struct frx_dense *dense, int transpose, int n_in, int n_out, half *out) {
    for (int p = 0; p < n_out / 16; p++)
        for (int s = 0; s < n_in / 16; s++)
            for (int part = 0; part < 2; part++)
                for (int lane = 0; lane < 32; lane++)
                    for (int h = 0; h < 8; h++) { /* two column tiles, two k halves, two values */
                        const int column = 16 * p + 8 * (h >> 2) + lane / 4;
                        const int k = 16 * s + 8 * ((h >> 1) & 1) + 2 * (lane % 4) + (h & 1);
                        const double value = element(dense, transpose, column, k);
                        const half high = __float2half((float)value);
                        const double rest = (value - (double)__half2float(high)) * LOW_SCALE;
                        *out++ = part == 0 ? high : __float2half((float)rest);
                    }
}

enum frx_status frx_gpu_dense_upload(const struct frx_gpu_dense *dense, const struct frx_dense *source) {
    const size_t n = 2 * (size_t)dense->n_in * dense->n_out; /* halves */
    half *packed = (half *)calloc(n + 2 * (size_t)dense->n_out, sizeof *packed);
    if (!packed) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a copy of a layer");
    float *bias = (float *)(packed + n);
    for (int o = 0; source->bias && o < source->n_out; o++) bias[o] = (float)source->bias[o];
    cudaError_t code =
        cudaMemcpy((void *)dense->bias, bias, dense->n_out * sizeof *bias, cudaMemcpyHostToDevice);
    for (int transpose = 0; transpose < 2 && code == cudaSuccess; transpose++) {
        pack(source, transpose, transpose ? dense->n_out : dense->n_in,
             transpose ? dense->n_in : dense->n_out, packed);
        code = cudaMemcpy((void *)(transpose ? dense->transposed : dense->weight), packed, n * sizeof *packed,
                          cudaMemcpyHostToDevice);
    }
    free(packed);
    return frx_cuda_status(code, "weights of a layer", __FILE__, __LINE__);
}

/* ---- storage ---- */

static __device__ __forceinline__ void store_pair(half *place, float a, float b) {
    *(half2 *)place = __floats2half2_rn(a, b);
}
static __device__ __forceinline__ void store_pair(float *place, float a, float b) {
    *(float2 *)place = make_float2(a, b);
}
static __device__ __forceinline__ float2 load_pair(const half *place) {
    return __half22float2(*(const half2 *)place);
}
static __device__ __forceinline__ float2 load_pair(const float *place) {
    return *(const float2 *)place;
}

template <typename real> struct is_exact {
    enum { value = sizeof(real) == sizeof(float) };
};

template <int EXACT> static __device__ __forceinline__ float tanh_of(float x) {
    return EXACT ? tanhf(x) : tanh_fast(x);
}

/* Activations of the block's rows as high and low, each [16 TILES][padded(width)]. */
static __host__ __device__ __forceinline__ int padded(int width) {
    return width + 8;
}

struct activation {
    half *high, *low;
    int stride;
};

static __host__ __device__ __forceinline__ size_t activation_halves(int tiles, int width) {
    return 2 * 16 * tiles * padded(width);
}

template <int TILES>
static __device__ __forceinline__ struct activation activation_at(half *memory, int width) {
    struct activation a;
    a.stride = padded(width);
    a.high = memory;
    a.low = memory + 16 * TILES * a.stride;
    return a;
}

static __device__ __forceinline__ void put(const struct activation &a, int row, int column, float v0,
                                           float v1) {
    const half2 high = __floats2half2_rn(v0, v1);
    const float2 rounded = __half22float2(high);
    *(half2 *)(a.high + row * a.stride + column) = high;
    *(half2 *)(a.low + row * a.stride + column) =
        __floats2half2_rn(LOW_SCALE * (v0 - rounded.x), LOW_SCALE * (v1 - rounded.y));
}

static __device__ __forceinline__ float2 get(const struct activation &a, int row, int column) {
    const float2 high = load_pair(a.high + row * a.stride + column),
                 low = load_pair(a.low + row * a.stride + column);
    return make_float2(high.x + low.x * (1 / LOW_SCALE), high.y + low.y * (1 / LOW_SCALE));
}

/* ---- products ---- */

/* For every element (row, column) and (row, column + 1) of in W: epilogue(row of the block, column, v0, v1,
 * p) with p = prefetch(row, column), a pair of numbers that is fetched from global memory before the products
 * so that nobody waits for it after. EXACT: three products of halves; otherwise high times high alone. */
template <int TILES, int EXACT, typename prefetch_type, typename epilogue_type>
static __device__ __forceinline__ void product(const struct activation &in, int n_in, int n_out,
                                               const uint4 *weight, prefetch_type prefetch,
                                               epilogue_type epilogue) {
    const int lane = threadIdx.x & 31, n_step = n_in / 16, n_pair = n_out / 16;
    const int place = (lane & 15) * in.stride + 8 * (lane >> 4);
    const uint32_t high = shared_address(in.high + place), low = shared_address(in.low + place);
    const uint32_t next_tile = 2 * 16 * in.stride; /* bytes */
    for (int pair = threadIdx.x >> 5; pair < n_pair; pair += dense_warps) {
        float d[TILES][2][4] = {}, rest[TILES][2][4] = {}; /* row tile, column tile */
        float2 ahead[TILES][2][2];
        const auto sum = [&](int t, int c, int k) {
            return EXACT ? d[t][c][k] + rest[t][c][k] * (1 / LOW_SCALE) : d[t][c][k];
        };
        const auto each = [&](auto action) {
#pragma unroll
            for (int t = 0; t < TILES; t++)
#pragma unroll
                for (int c = 0; c < 2; c++)
#pragma unroll
                    for (int h = 0; h < 2; h++)
                        action(16 * t + (lane >> 2) + 8 * h, pair * 16 + c * 8 + (lane & 3) * 2,
                               ahead[t][c][h], sum(t, c, 2 * h), sum(t, c, 2 * h + 1));
        };
        each([&](int row, int column, float2 &p, float, float) { p = prefetch(row, column); });
        const uint4 *w = weight + (size_t)pair * n_step * 64 + lane;
#pragma unroll 2
        for (int step = 0; step < n_step; step++) {
            const uint4 w_high = __ldg(w + step * 64), w_low = EXACT ? __ldg(w + step * 64 + 32) : w_high;
            uint32_t a_high[TILES][4], a_low[TILES][4];
#pragma unroll
            for (int t = 0; t < TILES; t++) {
                ldmatrix_x4(a_high[t], high + t * next_tile + step * 32);
                if (EXACT) ldmatrix_x4(a_low[t], low + t * next_tile + step * 32);
            }
            /* neighbouring products on different sums */
            if (EXACT) {
#pragma unroll
                for (int t = 0; t < TILES; t++) {
                    mma_16x8x16(rest[t][0], a_low[t], w_high.x, w_high.y);
                    mma_16x8x16(rest[t][1], a_low[t], w_high.z, w_high.w);
                }
#pragma unroll
                for (int t = 0; t < TILES; t++) {
                    mma_16x8x16(rest[t][0], a_high[t], w_low.x, w_low.y);
                    mma_16x8x16(rest[t][1], a_high[t], w_low.z, w_low.w);
                }
            }
#pragma unroll
            for (int t = 0; t < TILES; t++) {
                mma_16x8x16(d[t][0], a_high[t], w_high.x, w_high.y);
                mma_16x8x16(d[t][1], a_high[t], w_high.z, w_high.w);
            }
        }
        each([&](int row, int column, float2 p, float v0, float v1) { epilogue(row, column, v0, v1, p); });
    }
    __syncthreads();
}

/* Rows of floats from global into shared memory; rows beyond n_row become zero. */
template <int TILES>
static __device__ __forceinline__ void stage_rows(const struct activation &a, const float *rows, int first,
                                                  int n_row, int width) {
    const int vectors = width / 2;
    for (int k = threadIdx.x; k < 16 * TILES * vectors; k += 32 * dense_warps) {
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

/* ---- kernels ---- */

template <typename real, int TILES>
static __global__ void __launch_bounds__(32 * dense_warps, 2)
    dense_forward_kernel(const __grid_constant__ struct frx_dense_forward<real> a) {
    enum { EXACT = is_exact<real>::value };
    extern __shared__ __align__(16) half shared[];
    const int first = blockIdx.x * 16 * TILES, F = a.n_filter, H = a.n_hidden;
    half *other = shared + activation_halves(TILES, max(F, H));
    frx_await_inputs();
    const struct activation m = activation_at<TILES>(shared, F), z = activation_at<TILES>(other, H),
                            x = activation_at<TILES>(shared, H);
    stage_rows<TILES>(m, a.m, first, a.n_row, F);
    product<TILES, 1>(
        m, F, H, a.lin2.weight, [&](int, int c) { return bias_at(a.lin2.bias, c); },
        [&](int row, int c, float v0, float v1, float2 bias) {
            const float t0 = tanh_of<EXACT>(v0 + bias.x), t1 = tanh_of<EXACT>(v1 + bias.y);
            put(z, row, c, t0, t1);
            if (first + row < a.n_row)
                store_pair(a.slope + (size_t)(first + row) * H + c, 1 - t0 * t0, 1 - t1 * t1);
        });
    product<TILES, 1>(
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
    product<TILES, 1>(x, H, F, a.next_lin1.weight, nothing, [&](int row, int c, float v0, float v1, float2) {
        if (first + row < a.n_row) store_pair(a.h + (size_t)(first + row) * F + c, v0, v1);
    });
}

template <typename real, int TILES>
static __global__ void __launch_bounds__(32 * dense_warps, 2)
    dense_backward_kernel(const __grid_constant__ struct frx_dense_backward<real> a) {
    enum { EXACT = is_exact<real>::value };
    extern __shared__ __align__(16) half shared[];
    const int first = blockIdx.x * 16 * TILES, F = a.n_filter, H = a.n_hidden;
    half *other = shared + activation_halves(TILES, max(F, H));
    frx_await_inputs();
    const struct activation gx = activation_at<TILES>(shared, H), dh = activation_at<TILES>(other, F),
                            y = activation_at<TILES>(other, H);
    if (a.dh) {
        stage_rows<TILES>(dh, a.dh, first, a.n_row, F);
        product<TILES, EXACT>(
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
        stage_rows<TILES>(gx, a.gx, first, a.n_row, H);
    }
    product<TILES, EXACT>(
        gx, H, H, a.lin.transposed,
        [&](int row, int c) { return load_pair(a.slope + (size_t)min(first + row, a.n_row - 1) * H + c); },
        [&](int row, int c, float v0, float v1, float2 slope) {
            put(y, row, c, v0 * slope.x, v1 * slope.y);
        });
    product<TILES, EXACT>(y, H, F, a.lin2.transposed, nothing,
                          [&](int row, int c, float v0, float v1, float2) {
                              if (first + row < a.n_row)
                                  store_pair(a.g + (size_t)(first + row) * F + c, v0, v1);
                          });
}

/* Halves of shared memory for the output network: x, then every hidden layer's activation and gradient. */
static size_t output_halves(int tiles, const struct frx_output_network &a) {
    size_t halves = activation_halves(tiles, a.n_hidden);
    for (int k = 0; k < a.n_layer; k++) halves += 2 * activation_halves(tiles, a.layer[k].n_out);
    return halves;
}

/* Energy of the block's rows from the last hidden activation, a warp per row; lane = column. */
template <int TILES>
static __device__ void bead_energies(const struct frx_output_network &a, const struct activation &in,
                                     int width, int first) {
    const int lane = threadIdx.x & 31;
    for (int row = threadIdx.x >> 5; row < 16 * TILES; row += dense_warps) {
        float e = 0;
        for (int c = lane; c < width; c += 32)
            e += (__half2float(in.high[row * in.stride + c]) +
                  __half2float(in.low[row * in.stride + c]) * (1 / LOW_SCALE)) *
                 a.last_weight[c];
        for (int step = 16; step; step >>= 1) e += __shfl_xor_sync(0xffffffffu, e, step);
        if (lane == 0 && first + row < a.n_row)
            a.bead_energy[first + row] = a.energy_scale * (e + a.last_bias);
    }
}

template <int EXACT, int TILES>
static __global__ void __launch_bounds__(32 * dense_warps)
    output_kernel(const __grid_constant__ struct frx_output_network a) {
    extern __shared__ __align__(16) half shared[];
    const int first = blockIdx.x * 16 * TILES;
    frx_await_inputs();
    const float seed = a.energy_scale * a.gradient_scale;
    struct activation in = activation_at<TILES>(shared, a.n_hidden);
    half *next = shared + activation_halves(TILES, a.n_hidden);
    int width = a.n_hidden;
    stage_rows<TILES>(in, a.x, first, a.n_row, width);
    for (int k = 0; k < a.n_layer;
         k++) { /* activation, and beside it its slope, which becomes the gradient */
        const int n_out = a.layer[k].n_out;
        const bool last = k == a.n_layer - 1;
        const struct activation out = activation_at<TILES>(next, n_out),
                                slope = activation_at<TILES>(next + activation_halves(TILES, n_out), n_out);
        product<TILES, 1>(
            in, width, n_out, a.layer[k].weight, [&](int, int c) { return bias_at(a.layer[k].bias, c); },
            [&](int row, int c, float v0, float v1, float2 bias) {
                const float2 v = last ? __ldg((const float2 *)(a.last_weight + c)) : make_float2(1, 1);
                const float t0 = tanh_of<EXACT>(v0 + bias.x), t1 = tanh_of<EXACT>(v1 + bias.y),
                            s = last ? seed : 1.0f;
                put(out, row, c, t0, t1);
                put(slope, row, c, s * v.x * (1 - t0 * t0), s * v.y * (1 - t1 * t1));
            });
        in = out;
        width = n_out;
        next += 2 * activation_halves(TILES, n_out);
    }
    if (a.bead_energy) bead_energies<TILES>(a, in, width, first);
    if (a.n_layer == 0) { /* a single linear layer: the gradient is its weight */
        for (int k = threadIdx.x; k < 16 * TILES * width; k += 32 * dense_warps)
            if (first + k / width < a.n_row)
                a.gx[(size_t)first * width + k] = seed * a.last_weight[k % width];
        return;
    }
    next -= activation_halves(TILES, width);
    for (int k = a.n_layer - 1; k >= 0; k--) { /* next: gradient of layer k's output before its tanh */
        const int below = k > 0 ? a.layer[k - 1].n_out : a.n_hidden;
        half *next_below = next - activation_halves(TILES, width) - activation_halves(TILES, below);
        const struct activation gradient = activation_at<TILES>(next, width),
                                slope = activation_at<TILES>(next_below, below);
        product<TILES, EXACT>(gradient, width, below, a.layer[k].transposed, nothing,
                              [&](int row, int c, float v0, float v1, float2) {
                                  if (k > 0) {
                                      const float2 s = get(slope, row, c);
                                      put(slope, row, c, v0 * s.x, v1 * s.y);
                                  } else if (first + row < a.n_row) {
                                      *(float2 *)(a.gx + (size_t)(first + row) * below + c) =
                                          make_float2(v0, v1);
                                  }
                              });
        next = next_below;
        width = below;
    }
}

/* ---- launchers ---- */

static size_t chain_bytes(int tiles, int n_filter, int n_hidden) {
    return 2 * sizeof(half) * activation_halves(tiles, n_filter > n_hidden ? n_filter : n_hidden);
}

static size_t output_bytes(int tiles, const struct frx_output_network *output) {
    return sizeof(half) * output_halves(tiles, *output);
}

/* Many rows per block if that leaves work for every multiprocessor and fits. */
static int choose_tiles(const struct frx_dense_device *device, int n_row, size_t bytes_of_many) {
    return n_row > 16 * many_tiles * device->n_sm && bytes_of_many <= device->shared_limit ? many_tiles : 1;
}

static int n_block_of(int n_row, int tiles) {
    return (n_row + 16 * tiles - 1) / (16 * tiles);
}

template <typename function> static enum frx_status allow(function kernel, size_t bytes, size_t limit) {
    if (bytes > limit) return FRX_OK; /* never launched */
    FRX_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes));
    return FRX_OK;
}

template <typename real, int TILES>
static enum frx_status allow_all(int n_filter, int n_hidden, const struct frx_output_network *output,
                                 size_t limit) {
    const size_t chain = chain_bytes(TILES, n_filter, n_hidden);
    FRX_TRY(allow(dense_forward_kernel<real, TILES>, chain, limit));
    FRX_TRY(allow(dense_backward_kernel<real, TILES>, chain, limit));
    return allow(output_kernel<is_exact<real>::value, TILES>, output_bytes(TILES, output), limit);
}

enum frx_status frx_dense_prepare(int n_filter, int n_hidden, const struct frx_output_network *output,
                                  struct frx_dense_device *device) {
    int ordinal;
    FRX_CUDA(cudaGetDevice(&ordinal));
    FRX_CUDA(cudaDeviceGetAttribute(&device->n_sm, cudaDevAttrMultiProcessorCount, ordinal));
    size_t multiprocessor;
    FRX_TRY(frx_device_shared_memory(&device->shared_limit, &multiprocessor));
    const size_t chain = chain_bytes(1, n_filter, n_hidden), out = output_bytes(1, output),
                 needed = chain > out ? chain : out, limit = device->shared_limit;
    if (needed > limit)
        return FRX_FAIL(FRX_ERR_UNSUPPORTED,
                        "layers of %d and %d channels need %zu bytes of shared memory, this GPU has %zu",
                        n_filter, n_hidden, needed, limit);
    FRX_TRY((allow_all<half, 1>(n_filter, n_hidden, output, limit)));
    FRX_TRY((allow_all<half, many_tiles>(n_filter, n_hidden, output, limit)));
    FRX_TRY((allow_all<float, 1>(n_filter, n_hidden, output, limit)));
    return allow_all<float, many_tiles>(n_filter, n_hidden, output, limit);
}

template <typename real>
enum frx_status frx_dense_forward_launch(const struct frx_dense_device *device,
                                         const struct frx_dense_forward<real> *args, cudaStream_t stream) {
    const int tiles =
        choose_tiles(device, args->n_row, chain_bytes(many_tiles, args->n_filter, args->n_hidden));
    return frx_launch("dense layers",
                      tiles == 1 ? dense_forward_kernel<real, 1> : dense_forward_kernel<real, many_tiles>,
                      n_block_of(args->n_row, tiles), 32 * dense_warps,
                      chain_bytes(tiles, args->n_filter, args->n_hidden), stream, *args);
}

template <typename real>
enum frx_status frx_dense_backward_launch(const struct frx_dense_device *device,
                                          const struct frx_dense_backward<real> *args, cudaStream_t stream) {
    const int tiles =
        choose_tiles(device, args->n_row, chain_bytes(many_tiles, args->n_filter, args->n_hidden));
    return frx_launch("dense layers, backward",
                      tiles == 1 ? dense_backward_kernel<real, 1> : dense_backward_kernel<real, many_tiles>,
                      n_block_of(args->n_row, tiles), 32 * dense_warps,
                      chain_bytes(tiles, args->n_filter, args->n_hidden), stream, *args);
}

template enum frx_status frx_dense_forward_launch(const struct frx_dense_device *,
                                                  const struct frx_dense_forward<half> *, cudaStream_t);
template enum frx_status frx_dense_forward_launch(const struct frx_dense_device *,
                                                  const struct frx_dense_forward<float> *, cudaStream_t);
template enum frx_status frx_dense_backward_launch(const struct frx_dense_device *,
                                                   const struct frx_dense_backward<half> *, cudaStream_t);
template enum frx_status frx_dense_backward_launch(const struct frx_dense_device *,
                                                   const struct frx_dense_backward<float> *, cudaStream_t);

enum frx_status frx_output_launch(const struct frx_dense_device *device,
                                  const struct frx_output_network *args, int exact, cudaStream_t stream) {
    const int tiles = choose_tiles(device, args->n_row, output_bytes(many_tiles, args));
    const auto kernel = exact ? (tiles == 1 ? output_kernel<1, 1> : output_kernel<1, many_tiles>)
                              : (tiles == 1 ? output_kernel<0, 1> : output_kernel<0, many_tiles>);
    return frx_launch("output network", kernel, n_block_of(args->n_row, tiles), 32 * dense_warps,
                      output_bytes(tiles, args), stream, *args);
}
