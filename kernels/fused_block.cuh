/* What the device code of a fused step shares: a block's view of its arrays and of its cluster. */
#ifndef FRX_KERNELS_FUSED_BLOCK_CUH
#define FRX_KERNELS_FUSED_BLOCK_CUH

#include "fused.h"
#include "mma.cuh"
#include "vector.h"

enum { fused_threads = 32 * (FRX_FUSED_DENSE + FRX_FUSED_HELPER), fused_warps = fused_threads / 32 };

/* Halves from one channel to the next in an operand: an odd number of 16-byte pieces, so that the eight rows
 * that ldmatrix reads at once lie in different banks. */
static __host__ __device__ constexpr int fused_stride(int n_tile) {
    return 8 * (n_tile % 2 ? n_tile : n_tile + 1);
}

template <int cluster> struct fused_block {
    const struct frx_fused_args &args;
    char *shared;        /* of this block */
    char *peer[cluster]; /* of all blocks of the cluster, itself included */
    float *scratch;
    int rank; /* in the cluster */
    int first_replica, n_col, n_even;
    int own_hidden, own_filter; /* channels */
    int n_pair;                 /* replicas * args.n_pair */
    int with_energy;            /* of the step in progress */

    __device__ __forceinline__ float *at(int32_t word) const { return (float *)shared + word; }
    __device__ __forceinline__ int *integer_at(int32_t word) const { return (int *)shared + word; }
    __device__ __forceinline__ float *at(const struct frx_fused_place &place) const {
        return (place.is_shared ? (float *)shared : scratch) + place.word;
    }
    __device__ __forceinline__ float *kept(const struct frx_fused_phase &phase) const {
        return at(args.layout.kept) + phase.kept * n_even;
    }
    __device__ __forceinline__ float *h(int l) const {
        return at(args.layout.h) + l * n_col * (own_filter + 4);
    }
};

/* Where the shared memory of block `rank` of the cluster appears. */
template <int cluster> static __device__ __forceinline__ char *fused_peer(char *shared, int rank) {
#if __CUDA_ARCH__ >= 900
    if (cluster > 1) {
        uint64_t address;
        asm("mapa.u64 %0, %1, %2;" : "=l"(address) : "l"(shared), "r"(rank));
        return (char *)address;
    }
#endif
    (void)rank;
    return shared;
}

/* Everybody of the block, or of the cluster, has come here, and what they wrote is there to be read. */
template <int cluster> static __device__ __forceinline__ void fused_barrier(int local) {
#if __CUDA_ARCH__ >= 900
    if (cluster > 1 && !local) {
        asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::
                         : "memory");
        return;
    }
#endif
    (void)local;
    __syncthreads();
}

/* Into operand `next` of every block: value of a channel (of all) in a column, or in two columns. */
template <int cluster, int n_tile>
static __device__ __forceinline__ void fused_put(const fused_block<cluster> &b, int next, int channel,
                                                 int column, float value) {
    const half high = __float2half_rn(value), low = __float2half_rn(value - __half2float(high));
    const int word = b.args.layout.next[next], place = channel * fused_stride(n_tile) + column;
#pragma unroll
    for (int p = 0; p < cluster; p++) {
        half *to = (half *)(b.peer[p] + 4 * word) + place;
        to[0] = high;
        to[2 * b.args.layout.next_low] = low;
    }
}

template <int cluster, int n_tile>
static __device__ __forceinline__ void fused_put(const fused_block<cluster> &b, int next, int channel,
                                                 int column, float v0, float v1) {
    const half2 high = __floats2half2_rn(v0, v1);
    const float2 rounded = __half22float2(high);
    const half2 low = __floats2half2_rn(v0 - rounded.x, v1 - rounded.y);
    const int word = b.args.layout.next[next], place = channel * fused_stride(n_tile) + column;
#pragma unroll
    for (int p = 0; p < cluster; p++) {
        half *to = (half *)(b.peer[p] + 4 * word) + place;
        *(half2 *)to = high;
        *(half2 *)(to + 2 * b.args.layout.next_low) = low;
    }
}

#endif
