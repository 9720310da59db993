/* Dense layers in float.
 *
 * dense_kernel: a block of 128 threads makes a tile of ROWS x 64 of C, ROWS/16 x 4 elements a thread, going
 * through n_in in steps of 32 that are staged in shared memory, the next step being loaded while this one is
 * used. Tiles of 64 rows for large batches, of 16 for small ones: which one does not change a bit. Shared
 * memory: (ROWS + 64) 32 floats, at most 17 KiB. energy_kernel: one warp per row. */
#include "dense.h"

#include "vector.h"

enum { BLOCK = 128, COLUMNS = 64, DEPTH = 32 };

static __device__ __forceinline__ float finish(const struct frx_dense_call &call, float sum, int row,
                                               int column) {
    const float bias = call.bias ? call.bias[column] : 0.0f;
    const float other = call.other ? call.other[(size_t)(row % call.other_rows) * call.n_out + column] : 0.0f;
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

template <int ROWS>
static __global__ void __launch_bounds__(BLOCK)
    dense_kernel(const __grid_constant__ struct frx_dense_call call) {
    constexpr int PER_THREAD = ROWS / 8, PITCH = ROWS + 4; /* padded against bank conflicts */
    constexpr int LOAD_A = ROWS * DEPTH / 4 / BLOCK, LOAD_B = COLUMNS * DEPTH / 4 / BLOCK;
    __shared__ float tile_a[DEPTH * PITCH]; /* transposed: [k][row] */
    __shared__ float4 tile_b[DEPTH * COLUMNS / 4];
    const int first_row = blockIdx.x * ROWS, first_column = blockIdx.y * COLUMNS;
    const int tx = threadIdx.x % 16, ty = threadIdx.x / 16; /* columns 4 tx .., rows PER_THREAD ty .. */
    const int a_row = threadIdx.x / (DEPTH / 4), a_k = 4 * (threadIdx.x % (DEPTH / 4));
    const int b_k = threadIdx.x / (COLUMNS / 4), b_column = first_column + 4 * (threadIdx.x % (COLUMNS / 4));
    const float4 zero = make_float4(0, 0, 0, 0);
    float4 next_a[LOAD_A], next_b[LOAD_B];
    float sum[PER_THREAD * 4];
#pragma unroll
    for (int p = 0; p < PER_THREAD * 4; p++) sum[p] = 0;

    for (int k0 = 0; k0 <= call.n_in; k0 += DEPTH) {
        if (k0 > 0) { /* what was loaded in the last round */
            __syncthreads();
#pragma unroll
            for (int q = 0; q < LOAD_A; q++) {
                float *column = tile_a + a_k * PITCH + a_row + q * (BLOCK / (DEPTH / 4));
                column[0] = next_a[q].x;
                column[PITCH] = next_a[q].y;
                column[2 * PITCH] = next_a[q].z;
                column[3 * PITCH] = next_a[q].w;
            }
#pragma unroll
            for (int q = 0; q < LOAD_B; q++) tile_b[q * BLOCK + threadIdx.x] = next_b[q];
            __syncthreads();
        }
        if (k0 < call.n_in) {
#pragma unroll
            for (int q = 0; q < LOAD_A; q++) {
                const int row = first_row + a_row + q * (BLOCK / (DEPTH / 4));
                next_a[q] =
                    row < call.n_row ? *(const float4 *)(call.a + (size_t)row * call.n_in + k0 + a_k) : zero;
            }
#pragma unroll
            for (int q = 0; q < LOAD_B; q++) {
                const int k = k0 + b_k + q * (BLOCK / (COLUMNS / 4));
                next_b[q] = b_column < call.n_out
                                ? *(const float4 *)(call.b + (size_t)k * call.n_out + b_column)
                                : zero;
            }
        }
        if (k0 == 0) continue;
#pragma unroll 4
        for (int k = 0; k < DEPTH; k++) {
            const float4 b = tile_b[k * (COLUMNS / 4) + tx];
            const float *a = tile_a + k * PITCH + PER_THREAD * ty;
#pragma unroll
            for (int p = 0; p < PER_THREAD; p++) {
                sum[4 * p] = __fmaf_rn(a[p], b.x, sum[4 * p]);
                sum[4 * p + 1] = __fmaf_rn(a[p], b.y, sum[4 * p + 1]);
                sum[4 * p + 2] = __fmaf_rn(a[p], b.z, sum[4 * p + 2]);
                sum[4 * p + 3] = __fmaf_rn(a[p], b.w, sum[4 * p + 3]);
            }
        }
    }
    const int column = first_column + 4 * tx;
    if (column >= call.n_out) return;
#pragma unroll
    for (int p = 0; p < PER_THREAD; p++) {
        const int row = first_row + PER_THREAD * ty + p;
        if (row >= call.n_row) break;
        float4 c;
        c.x = finish(call, sum[4 * p], row, column);
        c.y = finish(call, sum[4 * p + 1], row, column + 1);
        c.z = finish(call, sum[4 * p + 2], row, column + 2);
        c.w = finish(call, sum[4 * p + 3], row, column + 3);
        *(float4 *)(call.c + (size_t)row * call.n_out + column) = c;
    }
}

enum frx_status frx_dense_launch(const struct frx_dense_call *call, cudaStream_t stream) {
    enum { LARGE = 64, SMALL = 16, MANY_ROWS = 4096 };
    if (call->n_in % DEPTH != 0 || call->n_out % 4 != 0)
        return FRX_FAIL(FRX_ERR_INTERNAL, "a dense layer of %d x %d", call->n_in, call->n_out);
    const int rows = call->n_row >= MANY_ROWS ? LARGE : SMALL;
    const dim3 grid((call->n_row + rows - 1) / rows, (call->n_out + COLUMNS - 1) / COLUMNS);
    if (rows == LARGE)
        dense_kernel<LARGE><<<grid, BLOCK, 0, stream>>>(*call);
    else
        dense_kernel<SMALL><<<grid, BLOCK, 0, stream>>>(*call);
    return FRX_LAUNCHED("dense layer");
}

static __global__ void __launch_bounds__(BLOCK)
    energy_kernel(int n_row, int n_in, const float *__restrict__ y, const float *__restrict__ w, float bias,
                  float scale, int tanh_before, float *__restrict__ energy, float *__restrict__ g) {
    const int row = blockIdx.x * (BLOCK / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
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
    energy_kernel<<<(n_row + WARPS - 1) / WARPS, BLOCK, 0, stream>>>(n_row, n_in, y, w, bias, scale,
                                                                     tanh_before, energy, g);
    return FRX_LAUNCHED("energies of the network");
}
