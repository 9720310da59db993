/* The ladder of the message kernels: the first, naive rung, kept here, and what the engine uses.
 *
 *   m_i = sum_j h_j * W(r_ij)                     [n_rep][n_bead][n_filter], formulas in kernels/messages.h
 *
 * naive: one thread per (replica, bead, channel) looks at all beads, locates the distance and reads four rows
 * of the table from global memory. Then the engine's kernels with the table in global and in shared memory.
 * Prints the largest deviation from the naive result and the time of each.
 *
 *   bench_messages [replicas] */
#include "globule.h"
#include "messages.h"
#include "vector.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void stop_on(enum frx_status status) {
    if (status == FRX_OK) return;
    fprintf(stderr, "%s\n", frx_error_message());
    exit(1);
}
#define STOP_ON(call) stop_on(frx_cuda_status((call), #call, __FILE__, __LINE__))

static __device__ float spline(const float *table, int row, int c, int slice, const float w[4]) {
    float sum = 0;
    for (int q = 0; q < 4; q++) sum += w[q] * table[(row + q) * slice + c];
    return sum;
}

/* h [n_rep][n_bead][n_filter], m alike; interaction 0 */
static __global__ void naive_forward_kernel(const __grid_constant__ struct frx_messages messages,
                                            const float *positions, const float *h, float *m) {
    const int n_bead = messages.neighbours.n_bead, n_filter = messages.n_filter, slice = messages.slice;
    const int r = blockIdx.y, i = blockIdx.x, c = threadIdx.x;
    const float *x = positions + (size_t)r * n_bead * 3;
    const float *table = messages.table + (size_t)(c / slice) * (messages.grid.n_row + 4) * slice;
    float sum = 0, w[4], dw[4];
    for (int j = 0; j < n_bead; j++) {
        const float3 d = load3(x, i) - load3(x, j);
        const float distance = __fsqrt_rn(dot(d, d));
        if (j == i || distance < messages.grid.r_lo || distance >= messages.grid.r_hi) continue;
        const int row = frx_filter_locate(&messages.grid, distance, w, dw);
        sum += spline(table, row, c % slice, slice, w) * h[((size_t)r * n_bead + j) * n_filter + c];
    }
    m[((size_t)r * n_bead + i) * n_filter + c] = sum;
}

/* g = dE/dm; dh [n_rep][n_bead][n_filter], forces [n_rep][n_bead][3] */
static __global__ void naive_backward_kernel(const __grid_constant__ struct frx_messages messages,
                                             const float *positions, const float *h, const float *g,
                                             float *dh, float *forces) {
    const int n_bead = messages.neighbours.n_bead, n_filter = messages.n_filter, slice = messages.slice;
    const int r = blockIdx.y, i = blockIdx.x, c = threadIdx.x;
    const size_t here = ((size_t)r * n_bead + i) * n_filter + c;
    const float *x = positions + (size_t)r * n_bead * 3;
    const float *table = messages.table + (size_t)(c / slice) * (messages.grid.n_row + 4) * slice;
    __shared__ float part[3][128];
    float sum = 0, w[4], dw[4];
    float3 force = make_float3(0, 0, 0);
    for (int j = 0; j < n_bead; j++) {
        const float3 d = load3(x, i) - load3(x, j);
        const float distance = __fsqrt_rn(dot(d, d));
        if (j == i || distance < messages.grid.r_lo || distance >= messages.grid.r_hi) continue;
        const int row = frx_filter_locate(&messages.grid, distance, w, dw);
        const size_t there = ((size_t)r * n_bead + j) * n_filter + c;
        sum += spline(table, row, c % slice, slice, w) * g[there];
        const float slope =
            spline(table, row, c % slice, slice, dw) * (g[here] * h[there] + g[there] * h[here]);
        force = force - (slope / distance) * d;
    }
    dh[here] = sum;
    part[0][c] = force.x, part[1][c] = force.y, part[2][c] = force.z;
    __syncthreads();
    if (c >= 3) return;
    float total = 0;
    for (int k = 0; k < n_filter; k++) total += part[c][k];
    forces[((size_t)r * n_bead + i) * 3 + c] = total;
}

static float *random_array(size_t n, uint64_t seed) {
    float *host = (float *)malloc(n * sizeof *host), *device;
    for (size_t k = 0; k < n; k++) host[k] = (float)frx_test_normal(seed, (uint32_t)k);
    STOP_ON(cudaMalloc((void **)&device, n * sizeof *device));
    STOP_ON(cudaMemcpy(device, host, n * sizeof *device, cudaMemcpyHostToDevice));
    free(host);
    return device;
}

static double deviation(const float *device_a, const float *device_b, size_t n) {
    float *a = (float *)malloc(2 * n * sizeof *a), *b = a + n;
    double difference = 0, norm = 0;
    STOP_ON(cudaMemcpy(a, device_a, n * sizeof *a, cudaMemcpyDeviceToHost));
    STOP_ON(cudaMemcpy(b, device_b, n * sizeof *b, cudaMemcpyDeviceToHost));
    for (size_t k = 0; k < n; k++) {
        difference += (a[k] - b[k]) * (a[k] - b[k]);
        norm += b[k] * b[k];
    }
    free(a);
    return sqrt(difference / norm);
}

template <typename work> static float microseconds(work queue) {
    cudaEvent_t start, end;
    float best = INFINITY, time;
    STOP_ON(cudaEventCreate(&start));
    STOP_ON(cudaEventCreate(&end));
    for (int k = 0; k < 5; k++) {
        STOP_ON(cudaEventRecord(start));
        queue();
        STOP_ON(cudaEventRecord(end));
        STOP_ON(cudaEventSynchronize(end));
        STOP_ON(cudaEventElapsedTime(&time, start, end));
        best = fminf(best, 1000 * time);
    }
    return best;
}

int main(int argc, char **argv) {
    struct frx_test_model model = frx_globule_model();
    struct frx_system system;
    struct frx_filter_table table;
    struct frx_messages messages;
    const int n_rep = argc > 1 ? atoi(argv[1]) : 64, n_bead = model.n_bead, n_filter = model.n_filter;
    const size_t n_row = (size_t)n_rep * n_bead, n = n_row * n_filter;
    model.n_interaction = 1;
    frx_globule_make(&model, &system);
    stop_on(frx_filter_table_create(system.network, FRX_FILTER_TOLERANCE_SINGLE, &table));
    frx_messages_init(&messages, &table, n_rep, n_bead);
    struct frx_arena arena = {NULL, 0};
    frx_messages_layout(&messages, &arena);
    const size_t bytes = arena.used;
    arena.used = 0;
    STOP_ON(cudaMalloc((void **)&arena.base, bytes));
    frx_messages_layout(&messages, &arena);
    stop_on(frx_messages_upload(&messages, &table, 0));

    float *positions, *host = (float *)malloc(n_row * 3 * sizeof *host);
    for (size_t k = 0; k < n_row * 3; k++)
        host[k] =
            (float)(system.structures[k % (3 * (size_t)n_bead)] + 0.1 * frx_test_normal(3, (uint32_t)k));
    STOP_ON(cudaMalloc((void **)&positions, n_row * 3 * sizeof *positions));
    STOP_ON(cudaMemcpy(positions, host, n_row * 3 * sizeof *positions, cudaMemcpyHostToDevice));
    float *h = random_array(n, 1), *g = random_array(n, 2), *result[2][3];
    for (int k = 0; k < 6; k++) result[k / 3][k % 3] = random_array(k % 3 < 2 ? n : n_row * 3, 4);
    stop_on(frx_neighbours_build(&messages.neighbours, positions, 0));

    const dim3 grid(n_bead, n_rep);
    const float naive_forward =
        microseconds([&] { naive_forward_kernel<<<grid, n_filter>>>(messages, positions, h, result[0][0]); });
    const float naive_backward = microseconds([&] {
        naive_backward_kernel<<<grid, n_filter>>>(messages, positions, h, g, result[0][1], result[0][2]);
    });
    STOP_ON(cudaGetLastError());
    printf("%d replicas of %d beads, %d channels, %d rows, slices of %d channels; us\n", n_rep, n_bead,
           n_filter, messages.grid.n_row, messages.slice);
    printf("naive:                forward %8.1f, backward %8.1f\n", naive_forward, naive_backward);
    for (messages.staged = 0; messages.staged < 2; messages.staged++) {
        const float forward = microseconds(
            [&] { stop_on(frx_messages_forward(&messages, 0, positions, h, n_bead, result[1][0], 0)); });
        const float backward = microseconds(
            [&] { stop_on(frx_messages_backward(&messages, 0, positions, h, n_bead, g, result[1][1], 0)); });
        stop_on(frx_messages_forces(&messages, result[1][2], 0));
        printf("table in %s memory: forward %8.1f, backward %8.1f; off by %.1e, %.1e, forces %.1e\n",
               messages.staged ? "shared" : "global", forward, backward,
               deviation(result[1][0], result[0][0], n), deviation(result[1][1], result[0][1], n),
               deviation(result[1][2], result[0][2], n_row * 3));
    }
    return 0;
}
