/* Dense layers by tensor cores in three products; formulas in dense.h.
 *
 * dense_kernel: a warp makes 16 rows x 8 N_TILES columns of C by mma.m16n8k8 (tf32, any architecture from
 * 80), the small products first, then the hi-hi one. Nothing is staged: A is
 * read in float4 along its rows, with the columns within 16 permuted so that a thread's four numbers are what
 * it needs for two steps; B was permuted alike, split and put in the order of the threads by frx_dense_pack,
 * so that the warps of a block share it through the L1 cache. Large batches: 64 columns a warp; small ones:
 * 16 columns and four steps in flight, for latency. Either way the same instructions make an element, so it
 * has the same bits. No shared memory. energy_kernel: one warp per row. */
#include "dense.h"

#include "vector.h"

#include <string.h>

enum { BLOCK = 128 };

/* ---- splitting ---- */

/* Nearest number of 11 bits, ties away from zero; host. The device has an instruction for it. */
static float round_tf32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x1000u) & ~0x1fffu;
    memcpy(&x, &bits, sizeof bits);
    return x;
}

/* Element (k, n) of B in step s = k / 2 % 2 of block k / 16 goes to lane 4 (n % 8) + k % 16 / 4. */
void frx_dense_pack(int n_in, int n_out, const float *b, float *packed) {
    for (int k = 0; k < n_in; k++)
        for (int n = 0; n < n_out; n++) {
            const float x = b[(size_t)k * n_out + n], high = round_tf32(x), low = round_tf32(x - high);
            const int step = k / 2 % 2, lane = 4 * (n % 8) + k % 16 / 4;
            float *place =
                packed + ((((size_t)(k / 16) * (n_out / 8) + n / 8) * 2 + step) * 32 + lane) * 4 + k % 2;
            place[0] = high;
            place[2] = low;
        }
}

static __device__ __forceinline__ uint32_t to_tf32(float x) {
    uint32_t bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}

/* c += a b, 16 x 8 += 16 x 8 times 8 x 8 */
static __device__ __forceinline__ void multiply(float c[4], const uint32_t a[4], float b0, float b1) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)));
}

/* ---- layers ---- */

static __device__ __forceinline__ float finish(const struct frx_dense_call &call, float sum, float other,
                                               float bias) {
    switch (call.form) {
    case FRX_DENSE_TANH:
        return tanhf(__fadd_rn(sum, bias));
    case FRX_DENSE_ADD:
        return __fadd_rn(other, __fadd_rn(sum, bias));
    case FRX_DENSE_SLOPE:
        return __fmul_rn(sum, __fmaf_rn(-other, other, 1.0f));
    default:
        return sum;
    }
}

static __device__ __forceinline__ void store_pair(const struct frx_dense_call &call, int row, int column,
                                                  float c0, float c1) {
    if (row >= call.n_row) return;
    const float2 zero = make_float2(0, 0);
    const float2 bias = call.bias ? *(const float2 *)(call.bias + column) : zero;
    const float2 other =
        call.other ? *(const float2 *)(call.other + (size_t)(row % call.other_rows) * call.n_out + column)
                   : zero;
    *(float2 *)(call.c + (size_t)row * call.n_out + column) =
        make_float2(finish(call, c0, other.x, bias.x), finish(call, c1, other.y, bias.y));
}

/* DEPTH: blocks of 16 along n_in of which A is loaded at once; AHEAD: B too. Tensor cores cut off what they
 * cannot hold when they add; each block starts from zero, and only its sum is added to that of the others,
 * properly rounded. */
template <int N_TILES, int DEPTH, int AHEAD, int MIN_BLOCKS>
static __global__ void __launch_bounds__(BLOCK, MIN_BLOCKS)
    dense_kernel(const __grid_constant__ struct frx_dense_call call) {
    const int lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
    const int row = (blockIdx.x * (BLOCK / 32) + threadIdx.x / 32) * 16 + group, tile = blockIdx.y * N_TILES;
    const int n_block = call.n_in / 16, n_tile = call.n_out / 8;
    if (row - group >= call.n_row) return;
    /* rows behind the end are computed from the last one and not stored */
    const float *a0 = call.a + (size_t)min(row, call.n_row - 1) * call.n_in + 4 * quad;
    const float *a1 = call.a + (size_t)min(row + 8, call.n_row - 1) * call.n_in + 4 * quad;
    const float4 *b = (const float4 *)call.b + (size_t)tile * 64 + lane;
    float sum[N_TILES][4];
#pragma unroll
    for (int n = 0; n < N_TILES; n++)
#pragma unroll
        for (int q = 0; q < 4; q++) sum[n][q] = 0;

    for (int first = 0; first < n_block; first += DEPTH) {
        float4 upper[DEPTH], lower[DEPTH], ahead[DEPTH][N_TILES][2];
#pragma unroll
        for (int k = 0; AHEAD && k < DEPTH * N_TILES * 2; k++) {
            const int d = k / (2 * N_TILES), n = k / 2 % N_TILES, s = k % 2;
            if (first + d < n_block)
                ahead[d][n][s] = __ldg(b + (((size_t)(first + d) * n_tile + n) * 2 + s) * 32);
        }
        if (first == 0) frx_await_inputs(); /* the weights are constant, A is not */
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            if (first + d >= n_block) break;
            upper[d] = *(const float4 *)(a0 + 16 * (first + d));
            lower[d] = *(const float4 *)(a1 + 16 * (first + d));
        }
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            if (first + d >= n_block) break;
            const float x[2][4] = {{upper[d].x, lower[d].x, upper[d].y, lower[d].y},
                                   {upper[d].z, lower[d].z, upper[d].w, lower[d].w}};
            uint32_t high[2][4], low[2][4];
#pragma unroll
            for (int q = 0; q < 8; q++) {
                high[q / 4][q % 4] = to_tf32(x[q / 4][q % 4]);
                low[q / 4][q % 4] = to_tf32(x[q / 4][q % 4] - __uint_as_float(high[q / 4][q % 4]));
            }
#pragma unroll
            for (int n = 0; n < N_TILES; n++) {
                float part[4] = {0, 0, 0, 0};
                float4 weight[2];
#pragma unroll
                for (int s = 0; s < 2; s++) {
                    weight[s] =
                        AHEAD ? ahead[d][n][s] : __ldg(b + (((size_t)(first + d) * n_tile + n) * 2 + s) * 32);
                    multiply(part, high[s], weight[s].z, weight[s].w);
                    multiply(part, low[s], weight[s].x, weight[s].y);
                }
                multiply(part, high[0], weight[0].x, weight[0].y);
                multiply(part, high[1], weight[1].x, weight[1].y);
#pragma unroll
                for (int q = 0; q < 4; q++) sum[n][q] = __fadd_rn(sum[n][q], part[q]);
            }
        }
    }
#pragma unroll
    for (int n = 0; n < N_TILES; n++) {
        const int column = 8 * (tile + n) + 2 * quad;
        if (column >= call.n_out) break;
        store_pair(call, row, column, sum[n][0], sum[n][1]);
        store_pair(call, row + 8, column, sum[n][2], sum[n][3]);
    }
}

enum frx_status frx_dense_launch(const struct frx_dense_call *call, cudaStream_t stream) {
    enum { LARGE = 8, SMALL = 2, MANY_ROWS = 4096, ROWS = BLOCK / 2 };
    if (call->n_in % 32 != 0 || call->n_out % 32 != 0)
        return FRX_FAIL(FRX_ERR_INTERNAL, "a dense layer of %d x %d", call->n_in, call->n_out);
    const int large = call->n_row >= MANY_ROWS && call->n_out % (8 * LARGE) == 0;
    const dim3 grid((call->n_row + ROWS - 1) / ROWS, call->n_out / (8 * (large ? LARGE : SMALL)));
    return frx_launch("dense layer", large ? dense_kernel<LARGE, 4, 0, 4> : dense_kernel<SMALL, 4, 1, 1>,
                      grid, BLOCK, 0, stream, *call);
}

/* ---- the last layer ---- */

static __global__ void __launch_bounds__(BLOCK)
    energy_kernel(int n_row, int n_in, const float *__restrict__ y, const float *__restrict__ w, float bias,
                  float scale, int tanh_before, float *__restrict__ energy, float *__restrict__ g) {
    const int row = blockIdx.x * (BLOCK / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    frx_await_inputs();
    if (row >= n_row) return;
    float sum = 0;
    for (int c = lane; c < n_in; c += 32) {
        const float y_c = y[(size_t)row * n_in + c], slope = __fmul_rn(scale, w[c]);
        sum = __fmaf_rn(y_c, w[c], sum);
        g[(size_t)row * n_in + c] = tanh_before ? __fmul_rn(slope, __fmaf_rn(-y_c, y_c, 1.0f)) : slope;
    }
    sum = warp_sum(sum);
    if (lane == 0 && energy) energy[row] = __fmul_rn(scale, __fadd_rn(sum, bias));
}

enum frx_status frx_dense_energy(int n_row, int n_in, const float *y, const float *w, float bias, float scale,
                                 int tanh_before, float *energy, float *g, cudaStream_t stream) {
    enum { WARPS = BLOCK / 32 };
    return frx_launch("energies of the network", energy_kernel, (n_row + WARPS - 1) / WARPS, BLOCK, 0, stream,
                      n_row, n_in, y, w, bias, scale, tanh_before, energy, g);
}
