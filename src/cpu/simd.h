/* One vector register of floats, by the compiler's vector extension: gcc and clang map it to whatever the
 * target has. Used where a loop's accumulators have to stay in registers; elsewhere plain loops do. Sizes
 * depend on the target that this folder is compiled for, so its tests cannot count on them. */
#ifndef FRX_CPU_SIMD_H
#define FRX_CPU_SIMD_H

#ifdef __AVX512F__
#define FRX_VECTOR_BYTES 64
#elif defined(__AVX__)
#define FRX_VECTOR_BYTES 32
#else
#define FRX_VECTOR_BYTES 16
#endif

typedef float frx_vector __attribute__((vector_size(FRX_VECTOR_BYTES), may_alias));

enum {
    FRX_LANES = FRX_VECTOR_BYTES / 4, /* floats in a vector */
    FRX_SLICE_VECTORS = 2,            /* vectors in a slice of channels */
    FRX_SLICE =
        FRX_LANES * FRX_SLICE_VECTORS, /* channels in a slice; all widths are padded to whole slices */
    FRX_ALIGNMENT = 64
};

/* n rounded up to whole slices. Local. */
static inline int frx_padded(int n) {
    return (n + FRX_SLICE - 1) / FRX_SLICE * FRX_SLICE;
}

#endif
