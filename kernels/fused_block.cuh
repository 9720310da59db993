/* What the device code of a fused step shares: a block's view of its arrays, and the barriers of its warps.
 */
#ifndef FRX_KERNELS_FUSED_BLOCK_CUH
#define FRX_KERNELS_FUSED_BLOCK_CUH

#include "fused.h"
#include "mma.cuh"
#include "vector.h"

enum { fused_threads = 32 * (FRX_FUSED_DENSE + FRX_FUSED_HELPER), fused_warps = fused_threads / 32 };

/* all_shared: where arrays are is known when the kernel is compiled, which makes their addresses cheap.
 * is_exact: of the program. */
template <bool all_shared, bool is_exact> struct fused_block {
    static constexpr bool exact = is_exact;
    const struct frx_fused_args &args;
    char *shared;
    float *scratch;
    int replica;

    __device__ __forceinline__ float *at(int32_t word) const { return (float *)shared + word; }
    __device__ __forceinline__ int *integer_at(int32_t word) const { return (int *)shared + word; }
    __device__ __forceinline__ float *at(const struct frx_fused_place &place) const {
        return (all_shared || place.is_shared ? (float *)shared : scratch) + place.word;
    }
    __device__ __forceinline__ float *filter_slope() const {
        const struct frx_fused_place &place = args.layout.filter_slope;
        return (place.is_shared ? (float *)shared : scratch) + place.word;
    }
    __device__ __forceinline__ struct frx_fused_phase phase(int k) const {
        return ((const struct frx_fused_phase *)at(args.layout.phase))[k];
    }
    __device__ __forceinline__ half *row(const struct frx_fused_operand &operand, int bead) const {
        return (half *)(shared + operand.begin + bead * operand.stride);
    }
    /* floats from one row of channels to the next: banks shift by four */
    __device__ __forceinline__ int stride() const { return args.n_filter + 4; }
    __device__ __forceinline__ float *g(int l) const {
        return at(args.layout.g) + l * args.n_bead * stride();
    }
    __device__ __forceinline__ float *h(int l) const {
        return at(args.layout.h) + l * args.n_bead * stride();
    }
    __device__ __forceinline__ int filter_row(int l) const { return l * (args.n_pair + 1) * stride(); }
};

/* ---- barriers ---- */

/* Of all warps, of the dense and of the helper warps among themselves; at fused_filters + l the helpers say
 * that filters of interaction l (not the first) are there, at fused_gradients + l dense warps say that g is,
 * and the others wait for it. Barriers in shared memory (mbarrier, PTX ISA), because those of bar.sync with a
 * number confuse compute-sanitizer's racecheck. Every thread arrives: the tool wants it, and it is faster
 * than a lane for its warp. */
enum {
    fused_all,
    fused_dense,
    fused_helpers,
    fused_filters,
    fused_gradients = fused_filters + FRX_FUSED_MAX_LAYER,
    fused_barriers = fused_gradients + FRX_FUSED_MAX_LAYER
};

struct fused_barrier {
    uint32_t first;  /* address */
    uint32_t parity; /* of the round that each of them is in: a bit for each */

    /* By one thread, before the others come. */
    __device__ __forceinline__ void start() const {
        for (int k = 0; k < fused_barriers; k++) {
            const int by_dense = k == fused_dense || k >= fused_gradients;
            const int n = k == fused_all ? fused_warps : by_dense ? FRX_FUSED_DENSE : FRX_FUSED_HELPER;
            asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(first + 8 * k), "r"(32 * n) : "memory");
        }
    }

    __device__ __forceinline__ void arrive(int k) const {
        asm volatile("{\n.reg .b64 state;\nmbarrier.arrive.shared.b64 state, [%0];\n}" ::"r"(first + 8 * k)
                     : "memory");
    }

    __device__ __forceinline__ void wait(int k) {
        int done;
        do {
#if __CUDA_ARCH__ >= 900
            asm volatile(
                "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared.b64 p, [%1], %2;\nselp.b32 %0, 1, 0, p;\n}"
#else
            asm volatile("{\n.reg .pred p;\nmbarrier.test_wait.parity.shared.b64 p, [%1], %2;\nselp.b32 %0, "
                         "1, 0, p;\n}"
#endif
                : "=r"(done)
                : "r"(first + 8 * k), "r"(parity >> k & 1)
                : "memory");
        } while (!done);
        parity ^= 1u << k;
    }

    __device__ __forceinline__ void sync(int k) {
        arrive(k);
        wait(k);
    }
};

/* ---- operands ---- */

/* Two neighbouring channels of a bead into an operand, if `there`: as halves, or as sums of two. */
template <typename block>
static __device__ __forceinline__ void put(const block &b, const struct frx_fused_operand &operand, int bead,
                                           int channel, bool there, float v0, float v1) {
    half *to = b.row(operand, bead) + channel;
    const half2 high = __floats2half2_rn(v0, v1);
    if (there) *(half2 *)to = high;
    if (block::exact) {
        const float2 rounded = __half22float2(high);
        const half2 low = __floats2half2_rn(v0 - rounded.x, v1 - rounded.y);
        if (there) *(half2 *)(to + b.args.layout.low / 2) = low;
    }
}

template <typename block>
static __device__ __forceinline__ float2 get(const block &b, const struct frx_fused_operand &operand,
                                             int bead, int channel) {
    const half *from = b.row(operand, bead) + channel;
    float2 value = __half22float2(*(const half2 *)from);
    if (block::exact) {
        const float2 low = __half22float2(*(const half2 *)(from + b.args.layout.low / 2));
        value.x += low.x;
        value.y += low.y;
    }
    return value;
}

#endif
