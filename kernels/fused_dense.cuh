/* Dense layers of a fused step: v = C a for all beads, a dense warp making its own channels.
 *
 * Operand A is the activations, [bead][input] halves in shared memory; operand B is the weights, which wait
 * in registers: a warp fetches the weights of its next batch while it multiplies those of this one, across
 * phases and steps. Sums run over the inputs in a fixed order. */
#ifndef FRX_KERNELS_FUSED_DENSE_CUH
#define FRX_KERNELS_FUSED_DENSE_CUH

#include "fused_block.cuh"

/* ---- weights ---- */

struct fused_weights {
    const uint4 *source; /* this lane's word of the first piece that is not on its way */
    uint4 piece[FRX_FUSED_BATCH];

    /* Everybody reads the same weights once a step: they live in L2, L1 is for the rest. */
    __device__ __forceinline__ void fetch(int i) {
        asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(piece[i].x), "=r"(piece[i].y), "=r"(piece[i].z), "=r"(piece[i].w)
                     : "l"(source + 32 * i));
    }

    __device__ __forceinline__ void start(const struct frx_fused_args &args,
                                          const struct frx_fused_program &program) {
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        source =
            args.weight + program.weight + (size_t)warp * 32 * (program.n_piece + program.n_first) + lane;
#pragma unroll
        for (int i = 0; i < FRX_FUSED_BATCH; i++)
            if (i < program.n_first) fetch(i);
        source += 32 * program.n_first;
    }

    /* The program is over: what is on its way is its first batch, which the stream ends with. */
    __device__ __forceinline__ void rewind(const struct frx_fused_program &program) {
        source -= 32 * program.n_piece;
    }
};

/* ---- products ---- */

/* n pieces, in the order of docs of `weight` in fused.h: pair k of tile k % tiles and step k / tiles. sum[0]:
 * high times high, of exact layers; the small products in the others. Otherwise even and odd steps, so that
 * products do not wait for each other. */
template <int tiles, bool exact, int n>
static __device__ __forceinline__ void multiply_batch(fused_weights &w, uint32_t high, uint32_t low,
                                                      int n_next, float sum[3][tiles][4]) {
#pragma unroll
    for (int i = n; i < FRX_FUSED_BATCH; i++) /* registers that this batch leaves idle */
        if (i < n_next) w.fetch(i);
    uint32_t a[4], a_low[4];
#pragma unroll
    for (int i = 0; i < n; i += 1 + exact) {
        const uint4 now = w.piece[i], small = w.piece[i + exact];
#pragma unroll
        for (int k = 0; k < 2; k++) {
            const int pair = i / (1 + exact) * 2 + k, step = pair / tiles, tile = pair % tiles;
            if (tile == 0) {
                ldmatrix_x4(a, high + 32 * step);
                if (exact) ldmatrix_x4(a_low, low + 32 * step);
            }
            const uint32_t b0 = k ? now.z : now.x, b1 = k ? now.w : now.y;
            mma_16x8x16(sum[exact ? 0 : step % 2][tile], a, b0, b1);
            if (exact) {
                mma_16x8x16(sum[1][tile], a_low, b0, b1);
                mma_16x8x16(sum[2][tile], a, k ? small.z : small.x, k ? small.w : small.y);
            }
        }
        if (i < n_next) w.fetch(i);
        if (exact && i + 1 < n_next) w.fetch(i + 1);
    }
    w.source += 32 * n_next;
}

/* n_piece: of this pass; n_after: of the first batch after it. */
template <int tiles, typename block>
static __device__ __forceinline__ void multiply(fused_weights &w, const block &b,
                                                const struct frx_fused_operand &in, int n_piece, int n_after,
                                                float sum[3][tiles][4]) {
    constexpr bool exact = block::exact;
    const int lane = threadIdx.x % 32, bead = lane & 15;
    uint32_t high = shared_address(b.shared) + 16 * (lane >> 4) +
                    (bead < b.args.n_bead ? in.begin + bead * in.stride : b.args.layout.zero);
    for (int left = n_piece; left > 0;) {
        const int n = frx_fused_batch(left), n_next = left > n ? frx_fused_batch(left - n) : n_after;
        const uint32_t low = high + b.args.layout.low;
        if (n == 16)
            multiply_batch<tiles, exact, 16>(w, high, low, n_next, sum);
        else if (n == 8)
            multiply_batch<tiles, exact, 8>(w, high, low, n_next, sum);
        else if (n == 4)
            multiply_batch<tiles, exact, 4>(w, high, low, n_next, sum);
        else
            multiply_batch<tiles, exact, 2>(w, high, low, n_next, sum);
        high += 32 * (2 * n / (1 + exact) / tiles);
        left -= n;
    }
}

/* ---- what becomes of the sums ---- */

/* Of channels from `first` on. Rows behind the last bead are computed like the others, from zeros and the
 * last bead's constants, and not stored: branches would cost more. */
template <int tiles, typename block>
static __device__ __forceinline__ void finish(const block &b, const struct frx_fused_phase &phase, int first,
                                              const float sum[3][tiles][4]) {
    constexpr bool exact = block::exact;
    const struct frx_fused_args &a = b.args;
    const int lane = threadIdx.x % 32, column = first + 2 * (lane % 4);
    const float *constant = b.at(a.layout.constant);
    /* The sums of two columns of part 0 (rows 0 to 7) or 1 (8 to 15). */
    const auto total = [&](int part, int tile, float v[2]) {
#pragma unroll
        for (int q = 0; q < 2; q++) {
            const float more = sum[1][tile][2 * part + q] + (exact ? sum[2][tile][2 * part + q] : 0.0f);
            v[q] = phase.unscale * (sum[0][tile][2 * part + q] + more);
        }
    };
    /* action(row's bead, whether it is one, channel, v0, v1) for every two channels of a row that this lane
     * has */
    const auto each = [&](auto action) {
        float v[2];
#pragma unroll
        for (int tile = 0; tile < tiles; tile++) {
            total(0, tile, v);
            action(min(lane / 4, a.n_bead - 1), lane / 4 < a.n_bead, column + 8 * tile, v[0], v[1]);
        }
        if (a.n_bead <= 8) return;
        if (tiles > 1 && a.n_bead <= 10) {
            /* rows 8 and 9 lie in eight lanes: every eight lanes take a tile of them */
            const int row = 8 + lane % 8 / 4, mine = lane / 8;
            float w[2];
#pragma unroll
            for (int tile = 0; tile < tiles; tile++) {
                total(1, tile, v);
#pragma unroll
                for (int q = 0; q < 2; q++) {
                    const float moved = __shfl_sync(0xffffffffu, v[q], lane % 8);
                    w[q] = tile == 0 || mine == tile ? moved : w[q];
                }
            }
            action(min(row, a.n_bead - 1), row < a.n_bead && mine < tiles, column + 8 * (mine % tiles), w[0],
                   w[1]);
            return;
        }
#pragma unroll
        for (int tile = 0; tile < tiles; tile++) {
            total(1, tile, v);
            action(min(lane / 4 + 8, a.n_bead - 1), lane / 4 + 8 < a.n_bead, column + 8 * tile, v[0], v[1]);
        }
    };
    const auto bias = [&](int bead, int c) {
        return *(const float2 *)(constant + phase.bias + bead * phase.bias_stride + c);
    };
    switch (phase.task) {
    case FRX_FUSED_SLOPE:
        each([&](int bead, bool there, int c, float v0, float v1) {
            const float2 y = get(b, phase.other, bead, c);
            put(b, phase.out, bead, c, there, v0 * (1 - y.x * y.x), v1 * (1 - y.y * y.y));
        });
        break;
    case FRX_FUSED_TANH:
        each([&](int bead, bool there, int c, float v0, float v1) {
            const float2 w = bias(bead, c);
            put(b, phase.out, bead, c, there, tanh_fast(v0 + w.x), tanh_fast(v1 + w.y));
        });
        break;
    case FRX_FUSED_FEATURES: {
        float *h = b.h(phase.layer);
        each([&](int bead, bool there, int c, float v0, float v1) {
            const float2 w = bias(bead, c);
            if (there) *(float2 *)(h + bead * b.stride() + c) = make_float2(v0 + w.x, v1 + w.y);
        });
        break;
    }
    case FRX_FUSED_GRADIENT: {
        float *g = b.g(phase.layer);
        each([&](int bead, bool there, int c, float v0, float v1) {
            if (there) *(float2 *)(g + bead * b.stride() + c) = make_float2(v0, v1);
        });
        break;
    }
    default: { /* the last hidden layer */
        const bool linear = phase.task == FRX_FUSED_LINEAR;
        each([&](int bead, bool there, int c, float v0, float v1) {
            const float2 w = bias(bead, c), last = *(const float2 *)(constant + a.last_weight + c);
            const float2 y =
                make_float2(linear ? v0 + w.x : tanh_fast(v0 + w.x), linear ? v1 + w.y : tanh_fast(v1 + w.y));
            put(b, phase.other, bead, c, there, y.x, y.y);
            put(b, phase.out, bead, c, there, a.seed * last.x * (linear ? 1 : 1 - y.x * y.x),
                a.seed * last.y * (linear ? 1 : 1 - y.y * y.y));
        });
    }
    }
}

/* Tiles `pass` * tiles .. of this warp's. */
template <int tiles, typename block>
static __device__ __forceinline__ void dense_pass(fused_weights &w, const block &b,
                                                  const struct frx_fused_phase &phase, int pass, int n_pass) {
    const int n_piece = phase.n_piece / n_pass, warp = threadIdx.x / 32;
    float sum[3][tiles][4] = {};
    multiply<tiles>(w, b, phase.in, n_piece, pass + 1 < n_pass ? frx_fused_batch(n_piece) : phase.n_next,
                    sum);
    finish<tiles>(b, phase, 8 * (phase.tiles * warp + tiles * pass), sum);
}

/* One dense layer, by the dense warps; wide exact ones in two passes, because there are not registers enough.
 */
template <typename block>
static __device__ __forceinline__ void dense_layer(fused_weights &w, const block &b,
                                                   const struct frx_fused_phase &phase) {
    if (phase.tiles == 1) {
        dense_pass<1>(w, b, phase, 0, 1);
    } else if (block::exact) {
        for (int pass = 0; pass < phase.tiles / 2; pass++) dense_pass<2>(w, b, phase, pass, phase.tiles / 2);
    } else if (phase.tiles == 2) {
        dense_pass<2>(w, b, phase, 0, 1);
    } else {
        dense_pass<4>(w, b, phase, 0, 1);
    }
}

#endif
