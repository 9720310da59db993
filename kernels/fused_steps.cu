/* The kernel that makes whole steps of small molecules; how it is organised is in fused.h. */
#include "fused.h"

#include "fused_block.cuh"
#include "fused_dense.cuh"
#include "fused_edges.cuh"
#include "integrate.cuh"
#include "prior.cuh"

/* ---- side tasks, by the helper warps: thread 0 .. 127 ---- */

template <int cluster>
static __device__ __forceinline__ void side_terms(const fused_block<cluster> &b,
                                                  const struct frx_gpu_prior &prior, int thread) {
    const struct frx_fused_layout &at = b.args.layout;
    const int n_replica = b.n_col / b.args.n_bead;
    for (int k = thread; k < n_replica * prior.n_term; k += 32 * FRX_FUSED_HELPER) {
        const int p = k / prior.n_term, t = k - p * prior.n_term;
        const float v = prior_term(prior, t, b.at(at.position) + 3 * p * b.args.n_bead,
                                   b.at(at.place_force) + 3 * p * prior.n_place);
        if (b.with_energy && b.rank == 0)
            prior.term_energy[(size_t)(b.first_replica + p) * prior.n_term + t] = v;
    }
}

template <int cluster>
static __device__ __forceinline__ void side_beads(const fused_block<cluster> &b,
                                                  const struct frx_gpu_prior &prior, int thread) {
    const struct frx_fused_layout &at = b.args.layout;
    for (int column = thread / 32; column < b.n_col; column += FRX_FUSED_HELPER) {
        const int p = column / b.args.n_bead, i = column - p * b.args.n_bead;
        float *row_energy =
            prior.row_energy + (size_t)(b.first_replica + p) * prior.n_repulsion * b.args.n_bead;
        const float3 force = prior_bead(prior, i, b.at(at.position) + 3 * p * b.args.n_bead,
                                        b.at(at.place_force) + 3 * p * prior.n_place,
                                        b.with_energy && b.rank == 0 ? row_energy : NULL);
        if (thread % 32 == 0) store3(b.at(at.prior_force), column, force);
    }
}

/* Normal numbers of a step for every bead. */
template <int cluster>
static __device__ __forceinline__ void
side_noise(const fused_block<cluster> &b, const struct frx_gpu_state &state,
           const struct frx_integrator &integrator, int64_t step, int column) {
    if (column >= b.n_col || !(integrator.noise > 0)) return;
    const int p = column / b.args.n_bead, i = column - p * b.args.n_bead;
    store3(b.at(b.args.layout.noise), column,
           draw3(integrator.seed, FRX_RNG_NOISE, state.identity[b.first_replica + p], step, i));
}

/* This block's share of the energies of beads, from what the last hidden layer kept, or from x if there is
 * none, to block 0. `before`: the phase before this one. */
template <int cluster>
static __device__ __forceinline__ void side_energy(const fused_block<cluster> &b,
                                                   const struct frx_fused_phase &before, int column) {
    if (!b.with_energy || column >= b.n_col) return;
    const struct frx_fused_layout &at = b.args.layout;
    const int hidden_layer = before.task == FRX_FUSED_LAST;
    const int n_channel = hidden_layer ? 16 * before.n_tile : b.own_hidden;
    const float *y = hidden_layer ? b.kept(before) : b.at(at.x);
    const float *weight = b.at(at.constant) + b.args.last_weight;
    float sum = 0;
    for (int c = 0; c < n_channel; c++) sum = __fmaf_rn(weight[c], y[c * b.n_even + column], sum);
    ((float *)b.peer[0] + at.energy_part)[b.rank * b.n_col + column] = sum;
}

/* ---- what a bead's thread does ---- */

template <int cluster>
static __device__ __forceinline__ void
begin_step(const fused_block<cluster> &b, const struct frx_gpu_state &state,
           const struct frx_integrator &integrator, int64_t step, int column) {
    const struct frx_fused_layout &at = b.args.layout;
    const int p = column / b.args.n_bead, i = column - p * b.args.n_bead, r = b.first_replica + p;
    const float inverse_mass = state.inverse_mass[i];
    float3 position = load3(b.at(at.position), column), velocity = load3(b.at(at.velocity), column);
    velocity = half_kick(integrator, inverse_mass, load3(b.at(at.force), column), velocity);
    if (!drift(integrator, inverse_mass, state.thermal[r], load3(b.at(at.noise), column), &position,
               &velocity) &&
        b.rank == 0)
        frx_record_divergence(&state.divergence[r], step, i);
    store3(b.at(at.position), column, position);
    store3(b.at(at.velocity), column, velocity);
}

/* The force of the evaluation just made; in a step its second half kick, otherwise where the state wants it.
 */
template <int cluster>
static __device__ __forceinline__ void
take_forces(const fused_block<cluster> &b, const struct frx_gpu_state &state,
            const struct frx_integrator &integrator, int64_t step, int in_step, int column) {
    const struct frx_fused_layout &at = b.args.layout;
    const int p = column / b.args.n_bead, i = column - p * b.args.n_bead, r = b.first_replica + p;
    const size_t bead = (size_t)r * b.args.n_bead + i;
    const float3 network = network_force(b, column);
    if (in_step) {
        float3 force = network;
        if (state.prior_force) force = force + load3(b.at(at.prior_force), column);
        if (!all_finite(force) && b.rank == 0) frx_record_divergence(&state.divergence[r], step, i);
        store3(b.at(at.force), column, force);
        store3(b.at(at.velocity), column,
               half_kick(integrator, state.inverse_mass[i], force, load3(b.at(at.velocity), column)));
    } else if (b.rank == 0) {
        store3(state.network_force, bead, network);
        if (state.prior_force) store3(state.prior_force, bead, load3(b.at(at.prior_force), column));
    }
    if (!b.with_energy || b.rank > 0) return;
    float sum = 0;
#pragma unroll
    for (int q = 0; q < cluster; q++) sum += b.at(at.energy_part)[q * b.n_col + column];
    state.bead_energy[bead] = b.args.energy_scale * (sum + b.args.last_bias);
}

/* ---- the kernel ---- */

template <int cluster, int n_tile>
static __device__ __forceinline__ void load_block(const fused_block<cluster> &b,
                                                  const struct frx_gpu_state &state) {
    const struct frx_fused_args &a = b.args;
    const struct frx_fused_layout &at = a.layout;
    const size_t first = (size_t)b.first_replica * a.n_bead * 3;
    for (int k = threadIdx.x; k < 3 * b.n_col; k += fused_threads) {
        b.at(at.position)[k] = state.position[first + k];
        b.at(at.velocity)[k] = state.velocity[first + k];
        b.at(at.force)[k] = state.force[first + k];
    }
    for (int k = threadIdx.x; k < 4 * at.next_low; k += fused_threads)
        b.at(at.next[0])[k] = 0; /* both operands */
    for (int k = threadIdx.x; k < a.n_constant; k += fused_threads)
        b.at(at.constant)[k] = a.constant[b.rank * a.n_constant + k];
    for (int k = threadIdx.x; k < b.own_filter * b.n_col; k += fused_threads) {
        const int c = k % b.own_filter, column = k / b.own_filter;
        b.h(0)[column * (b.own_filter + 4) + c] =
            a.h_first[(size_t)(column % a.n_bead) * a.n_filter + b.rank * b.own_filter + c];
    }
    for (int k = threadIdx.x; k < b.own_hidden * b.n_even; k += fused_threads) {
        const int c = k / b.n_even, column = k % b.n_even;
        b.at(at.x_first)[k] =
            a.embedding[(size_t)(column % a.n_bead) * a.n_hidden + b.rank * b.own_hidden + c];
    }
}

template <int cluster>
static __device__ __forceinline__ void store_block(const fused_block<cluster> &b,
                                                   const struct frx_gpu_state &state) {
    const struct frx_fused_layout &at = b.args.layout;
    const size_t first = (size_t)b.first_replica * b.args.n_bead * 3;
    for (int k = threadIdx.x; k < 3 * b.n_col && b.rank == 0; k += fused_threads) {
        state.position[first + k] = b.at(at.position)[k];
        state.velocity[first + k] = b.at(at.velocity)[k];
        state.force[first + k] = b.at(at.force)[k];
    }
}

/* Gradient of an energy that is linear in x. */
template <int cluster, int n_tile>
static __device__ __forceinline__ void set_gradient(const fused_block<cluster> &b, int next) {
    const struct frx_fused_args &a = b.args;
    for (int k = threadIdx.x; k < b.own_hidden * b.n_even; k += fused_threads) {
        const int c = k / b.n_even, column = k % b.n_even;
        const float g = a.energy_scale * a.gradient_scale * b.at(a.layout.constant)[a.last_weight + c];
        b.at(a.layout.x)[k] = g;
        fused_put<cluster, n_tile>(b, next, b.rank * b.own_hidden + c, column, g);
    }
}

template <int cluster, int n_tile, int depth>
static __global__ void __launch_bounds__(fused_threads, 1)
    fused_kernel(const __grid_constant__ struct frx_fused_args a,
                 const __grid_constant__ struct frx_gpu_state state,
                 const __grid_constant__ struct frx_gpu_prior prior,
                 const __grid_constant__ struct frx_integrator integrator, int n_step, int with_energy) {
#if __CUDA_ARCH__ < 900
    if (cluster > 1) return; /* never launched */
#endif
    extern __shared__ __align__(16) char shared[];
    const int thread = threadIdx.x, warp = thread / 32;
    const bool helper = warp >= FRX_FUSED_DENSE;
    fused_block<cluster> b = {a, shared};
    b.rank = blockIdx.x % cluster;
#pragma unroll
    for (int q = 0; q < cluster; q++) b.peer[q] = fused_peer<cluster>(shared, q);
    b.scratch = a.scratch + (size_t)blockIdx.x * a.layout.scratch_words;
    b.first_replica = blockIdx.x / cluster * a.replicas;
    b.n_col = min(a.replicas, state.n_rep - b.first_replica) * a.n_bead;
    b.n_even = (b.n_col + 1) / 2 * 2;
    b.own_hidden = a.n_hidden / cluster;
    b.own_filter = a.n_filter / cluster;
    b.n_pair = a.replicas * a.n_pair;
    fused_ring<depth> ring = {};
    if (!helper) ring.start(a, shared, b.rank);
    const int64_t first_step = *state.step;
    load_block<cluster, n_tile>(b, state);
    side_noise(b, state, integrator, first_step, thread);
    fused_barrier<cluster>(0);

    for (int k = 0; k < max(n_step, 1); k++) {
        b.with_energy = with_energy && k + 1 >= n_step;
        if (n_step > 0 && thread < b.n_col) begin_step(b, state, integrator, first_step + k, thread);
        __syncthreads();
        if (warp * a.n_bead < b.n_col) find_pairs(b, warp);
        __syncthreads();
        fill_filters(b, 0, 0, count_active(b), thread, fused_threads);
        __syncthreads();
        int next = 0;
        for (int f = 0; f < a.n_phase; f++) {
            const struct frx_fused_phase &phase = a.phase[f];
            if (phase.task == FRX_FUSED_MESSAGES) {
                send_messages<cluster, n_tile>(b, b.h(phase.layer), next);
            } else if (phase.task == FRX_FUSED_BACKWARD) {
                if (phase.layer > 0)
                    send_messages<cluster, n_tile>(b, b.at(a.layout.g), next);
                else
                    add_slopes(b, 0, warp, fused_warps);
            } else if (phase.task == FRX_FUSED_GRADIENT) {
                set_gradient<cluster, n_tile>(b, next);
            } else if (!helper) {
                if (phase.task != FRX_FUSED_ENERGY_OF_X) dense_layer<cluster, n_tile>(b, ring, phase, next);
            } else {
                const int side = phase.side, own = thread - 32 * FRX_FUSED_DENSE;
                const int n_active = count_active(b);
                if (side & FRX_FUSED_FILL_BEGIN)
                    fill_filters(b, phase.side_layer, 0, n_active / 2, own, 32 * FRX_FUSED_HELPER);
                if (side & FRX_FUSED_FILL_END)
                    fill_filters(b, phase.side_layer, n_active / 2, n_active, own, 32 * FRX_FUSED_HELPER);
                if (side & FRX_FUSED_TERMS) side_terms(b, prior, own);
                if (side & FRX_FUSED_BEADS) side_beads(b, prior, own);
                if (side & FRX_FUSED_SLOPES) add_slopes(b, phase.side_layer, own / 32, FRX_FUSED_HELPER);
                if (side & FRX_FUSED_NOISE) side_noise(b, state, integrator, first_step + k + 1, own);
                if (side & FRX_FUSED_ENERGY) side_energy(b, a.phase[f - 1], own);
            }
            fused_barrier<cluster>(phase.local);
            if (!phase.local) next = 1 - next;
        }
        if (!helper) ring.rewind(a);
        if (thread < b.n_col) take_forces(b, state, integrator, first_step + k, n_step > 0, thread);
    }
    asm volatile("cp.async.wait_all;" ::: "memory");
    __syncthreads();
    if (n_step > 0) store_block(b, state);
    fused_barrier<cluster>(0); /* nobody's shared memory goes while others may look at it */
}

/* ---- host ---- */

int frx_fused_plan(const struct frx_fused_shape *shape, const struct frx_fused_args *args, int n_kept,
                   int n_place, size_t limit, struct frx_fused_layout *layout) {
    const int n_col = shape->replicas * args->n_bead, n_even = (n_col + 1) / 2 * 2;
    const int n_pair = shape->replicas * args->n_pair;
    const int hidden = args->n_hidden / shape->cluster, filter = args->n_filter / shape->cluster;
    int32_t word = 0, scratch = 0;
    const auto take = [&](size_t n) {
        const int32_t taken = word;
        word += (int32_t)((n + 3) / 4 * 4);
        return taken;
    };
    layout->ring = take((size_t)FRX_FUSED_DENSE * shape->depth * piece * 4);
    layout->partial = take((size_t)FRX_FUSED_DENSE * shape->n_tile * 4 * 32);
    layout->next_low = FRX_FUSED_MAX_WIDTH * fused_stride(shape->n_tile) / 2;
    for (int k = 0; k < 2; k++) layout->next[k] = take(2 * (size_t)layout->next_low);
    int32_t *const vectors[] = {&layout->position, &layout->velocity, &layout->force, &layout->noise,
                                &layout->prior_force};
    for (int32_t *place : vectors) *place = take(3 * (size_t)n_col);
    layout->place_force = take(3 * (size_t)shape->replicas * n_place);
    layout->pair_t = take(n_pair);
    layout->pair_density = take(n_pair);
    layout->pair_direction = take(3 * (size_t)n_pair);
    layout->pair_row = take(n_pair);
    layout->active = take(n_pair);
    layout->n_active = take(shape->replicas);
    layout->neighbour = take((size_t)n_col * FRX_FUSED_MAX_BEAD);
    layout->n_neighbour = take(n_col);
    layout->slope = take(n_pair);
    layout->slope_part = take((size_t)shape->cluster * n_pair);
    layout->energy_part = take((size_t)shape->cluster * n_col);
    const size_t room = limit / 4;
    if ((size_t)word > room) return 0;
    const struct {
        struct frx_fused_place *place;
        size_t n;
    } movable[] = {{&layout->x, (size_t)hidden * n_even},
                   {&layout->g, (size_t)n_col * (filter + 4)},
                   {&layout->h, (size_t)args->n_interaction * n_col * (filter + 4)},
                   {&layout->filter, (size_t)n_pair * filter},
                   {&layout->constant, (size_t)args->n_constant},
                   {&layout->kept, (size_t)n_kept * n_even},
                   {&layout->filter_slope, (size_t)n_pair * filter},
                   {&layout->x_first, (size_t)hidden * n_even}};
    for (const auto &array : movable) {
        array.place->is_shared = word + array.n <= room;
        if (array.place->is_shared) {
            array.place->word = take(array.n);
        } else {
            array.place->word = scratch;
            scratch += (int32_t)((array.n + 31) / 32 * 32);
        }
    }
    layout->shared_words = word;
    layout->scratch_words = scratch;
    return 1;
}

typedef void (*fused_function)(struct frx_fused_args, struct frx_gpu_state, struct frx_gpu_prior,
                               struct frx_integrator, int, int);

static fused_function fused_for(const struct frx_fused_shape *shape) {
#define SHAPE(c, t, d)                                                                                       \
    if (shape->cluster == (c) && shape->n_tile == (t) && shape->depth == (d)) return fused_kernel<c, t, d>;
    SHAPE(1, 2, 4)
    SHAPE(1, 2, 12)
#undef SHAPE
    return NULL;
}

static cudaLaunchConfig_t configure(const struct frx_fused_shape *shape, int n_cluster, size_t shared_bytes,
                                    cudaStream_t stream, cudaLaunchAttribute *attribute) {
    cudaLaunchConfig_t config = {};
    attribute->id = cudaLaunchAttributeClusterDimension;
    attribute->val.clusterDim = {(unsigned int)shape->cluster, 1, 1};
    config.gridDim = dim3(n_cluster * shape->cluster);
    config.blockDim = dim3(fused_threads);
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    config.attrs = attribute;
    config.numAttrs = shape->cluster > 1 ? 1 : 0; /* older architectures do not know it */
    return config;
}

enum frx_status frx_fused_prepare(const struct frx_fused_shape *shape, size_t shared_bytes, int *n_cluster) {
    cudaLaunchAttribute attribute;
    const cudaLaunchConfig_t config = configure(shape, 1, shared_bytes, NULL, &attribute);
    FRX_CUDA(cudaFuncSetAttribute(fused_for(shape), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  (int)shared_bytes));
    if (shape->cluster > 1) {
        FRX_CUDA(cudaOccupancyMaxActiveClusters(n_cluster, fused_for(shape), &config));
    } else {
        FRX_CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(n_cluster, fused_for(shape), fused_threads,
                                                               shared_bytes));
    }
    return FRX_OK;
}

enum frx_status frx_fused_launch(const struct frx_fused_shape *shape, const struct frx_fused_args *args,
                                 const struct frx_gpu_state *state, const struct frx_gpu_prior *prior,
                                 const struct frx_integrator *integrator, int n_step, int with_energy,
                                 cudaStream_t stream) {
    const int n_cluster = (state->n_rep + shape->replicas - 1) / shape->replicas;
    cudaLaunchAttribute attribute;
    const cudaLaunchConfig_t config =
        configure(shape, n_cluster, 4 * (size_t)args->layout.shared_words, stream, &attribute);
    FRX_CUDA(cudaLaunchKernelEx(&config, fused_for(shape), *args, *state, *prior, *integrator, n_step,
                                with_energy));
    return FRX_OK;
}
