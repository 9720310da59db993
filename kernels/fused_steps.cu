/* The kernel that makes whole steps of small molecules; how it is organised is in fused.h. */
#include "fused.h"

#include "fused_block.cuh"
#include "fused_dense.cuh"
#include "fused_edges.cuh"
#include "integrate.cuh"
#include "prior.cuh"

/* ---- what the helper warps do beside the network; thread: 0 .. 127 ---- */

template <typename block>
static __device__ __forceinline__ void prior_terms(const block &b, const struct frx_gpu_prior &prior,
                                                   int with_energy, int thread) {
    const struct frx_fused_layout &at = b.args.layout;
    for (int t = thread; t < prior.n_term; t += 32 * FRX_FUSED_HELPER) {
        const float v = prior_term(prior, t, b.at(at.position), b.at(at.place_force));
        if (with_energy) prior.term_energy[(size_t)b.replica * prior.n_term + t] = v;
    }
}

template <typename block>
static __device__ __forceinline__ void prior_beads(const block &b, const struct frx_gpu_prior &prior,
                                                   int with_energy, int thread) {
    const struct frx_fused_layout &at = b.args.layout;
    float *row_energy = prior.row_energy + (size_t)b.replica * prior.n_repulsion * b.args.n_bead;
    for (int i = thread / 32; i < b.args.n_bead; i += FRX_FUSED_HELPER) {
        const float3 force =
            prior_bead(prior, i, b.at(at.position), b.at(at.place_force), with_energy ? row_energy : NULL);
        if (thread % 32 == 0) store3(b.at(at.prior_force), i, force);
    }
}

/* Normal numbers of a step for every bead. */
template <typename block>
static __device__ __forceinline__ void draw_noise(const block &b, const struct frx_gpu_state &state,
                                                  const struct frx_integrator &integrator, int64_t step,
                                                  int i) {
    if (i >= b.args.n_bead || !(integrator.noise > 0)) return;
    store3(b.at(b.args.layout.noise), i,
           draw3(integrator.seed, FRX_RNG_NOISE, state.identity[b.replica], step, i));
}

/* ---- what a bead's warp or thread does ---- */

/* B A O A of a step. */
template <typename block>
static __device__ __forceinline__ void begin_step(const block &b, const struct frx_gpu_state &state,
                                                  const struct frx_integrator &integrator, int64_t step,
                                                  int i) {
    const struct frx_fused_layout &at = b.args.layout;
    const float inverse_mass = b.at(at.mass)[i];
    float3 position = load3(b.at(at.position), i), velocity = load3(b.at(at.velocity), i);
    velocity = half_kick(integrator, inverse_mass, load3(b.at(at.force), i), velocity);
    if (!drift(integrator, inverse_mass, b.at(at.thermal)[0], load3(b.at(at.noise), i), &position, &velocity))
        frx_record_divergence(&state.divergence[b.replica], step, i);
    store3(b.at(at.position), i, position);
    store3(b.at(at.velocity), i, velocity);
}

/* The force of the evaluation just made, `network` and the priors'; in a step its second half kick, otherwise
 * where the state wants it. */
template <typename block>
static __device__ __forceinline__ void take_force(const block &b, const struct frx_gpu_state &state,
                                                  const struct frx_integrator &integrator, int64_t step,
                                                  int in_step, int i, float3 network) {
    const struct frx_fused_layout &at = b.args.layout;
    const size_t bead = (size_t)b.replica * b.args.n_bead + i;
    if (in_step) {
        float3 force = network;
        if (state.prior_force) force = force + load3(b.at(at.prior_force), i);
        if (!all_finite(force)) frx_record_divergence(&state.divergence[b.replica], step, i);
        store3(b.at(at.force), i, force);
        store3(b.at(at.velocity), i,
               half_kick(integrator, b.at(at.mass)[i], force, load3(b.at(at.velocity), i)));
    } else {
        store3(state.network_force, bead, network);
        if (state.prior_force) store3(state.prior_force, bead, load3(b.at(at.prior_force), i));
    }
}

/* Energy of a bead from the last hidden layer, which an exact program has left; by a warp. */
template <typename block>
static __device__ __forceinline__ void bead_energy(const block &b, const struct frx_gpu_state &state, int i) {
    const struct frx_fused_args &a = b.args;
    const int lane = threadIdx.x % 32;
    const float *weight = b.at(a.layout.constant) + a.last_weight;
    float sum = 0;
    for (int c = 2 * lane; c < a.last_width; c += 64) {
        const float2 y = get(b, a.last, i, c);
        sum = __fmaf_rn(weight[c], y.x, sum);
        sum = __fmaf_rn(weight[c + 1], y.y, sum);
    }
    sum = warp_sum(sum);
    if (lane == 0) state.bead_energy[(size_t)b.replica * a.n_bead + i] = a.energy_scale * (sum + a.last_bias);
}

/* ---- the kernel ---- */

template <typename block>
static __device__ __forceinline__ void load_block(const block &b, const struct frx_gpu_state &state) {
    const struct frx_fused_args &a = b.args;
    const struct frx_fused_layout &at = a.layout;
    const size_t first = (size_t)b.replica * a.n_bead * 3;
    for (int k = threadIdx.x; k < 3 * a.n_bead; k += fused_threads) {
        b.at(at.position)[k] = state.position[first + k];
        b.at(at.velocity)[k] = state.velocity[first + k];
        b.at(at.force)[k] = state.force[first + k];
    }
    for (int k = threadIdx.x; k < at.low / 2; k += fused_threads) b.at(0)[k] = 0; /* operands, high and low */
    for (int k = threadIdx.x; k < a.n_constant; k += fused_threads) b.at(at.constant)[k] = a.constant[k];
    for (int k = threadIdx.x; k < a.n_bead * a.n_filter; k += fused_threads)
        b.h(0)[k / a.n_filter * b.stride() + k % a.n_filter] = a.h_first[k];
    for (int k = threadIdx.x; k < (int)(sizeof a.phase / 4); k += fused_threads)
        b.integer_at(at.phase)[k] = ((const int *)a.phase)[k];
    if (threadIdx.x < a.n_bead) b.at(at.mass)[threadIdx.x] = state.inverse_mass[threadIdx.x];
    if (threadIdx.x == 0) b.integer_at(at.n_active)[0] = 0;
    for (int k = threadIdx.x; k < a.n_interaction * b.stride(); k += fused_threads)
        b.at(at.filter)[b.filter_row(k / b.stride()) + a.n_pair * b.stride() + k % b.stride()] = 0;
    if (threadIdx.x == 0) b.at(at.thermal)[0] = state.thermal[b.replica];
}

template <typename block>
static __device__ __forceinline__ void store_block(const block &b, const struct frx_gpu_state &state) {
    const struct frx_fused_layout &at = b.args.layout;
    const size_t first = (size_t)b.replica * b.args.n_bead * 3;
    for (int k = threadIdx.x; k < 3 * b.args.n_bead; k += fused_threads) {
        state.position[first + k] = b.at(at.position)[k];
        state.velocity[first + k] = b.at(at.velocity)[k];
        state.force[first + k] = b.at(at.force)[k];
    }
}

/* ---- the two kinds of warps ---- */

/* What a launch is for. */
struct fused_run {
    int64_t first_step;
    int n_step;        /* 0: an evaluation of the present positions */
    int with_energy;   /* item energies after the last step */
    int energies_only; /* of beads, without forces and priors */

    __device__ __forceinline__ int n_evaluation() const { return max(n_step, 1); }
    __device__ __forceinline__ int energy_wanted(int k) const { return with_energy && k + 1 >= n_step; }
};

/* The end of an evaluation for bead i, by a warp: its force, the rest of step k, the beginning of the next.
 */
template <typename block>
static __device__ __forceinline__ void turn(const block &b, const struct frx_gpu_state &state,
                                            const struct frx_integrator &integrator, const fused_run &run,
                                            int k, int i) {
    if (block::exact && run.energy_wanted(k)) bead_energy(b, state, i);
    if (run.energies_only) return;
    const float3 network = network_force(b, i);
    __syncwarp();
    if (threadIdx.x % 32 > 0) return;
    take_force(b, state, integrator, run.first_step + k, run.n_step > 0, i, network);
    if (k + 1 < run.n_step) begin_step(b, state, integrator, run.first_step + k + 1, i);
    if (i == 0) b.integer_at(b.args.layout.n_active)[0] = 0;
}

/* Filters of the first interaction, by everybody. */
template <typename block>
static __device__ __forceinline__ void fill_first(const block &b, const fused_run &run) {
    if (b.integer_at(b.args.layout.n_active)[0] * b.args.n_filter <= 4 * fused_threads)
        fill_filters<1>(b, 0, !run.energies_only, threadIdx.x, fused_threads);
    else
        fill_filters<2>(b, 0, !run.energies_only, threadIdx.x, fused_threads);
}

template <typename block>
static __device__ __forceinline__ void run_phase(fused_weights &weights, const block &b,
                                                 fused_barrier &barrier,
                                                 const struct frx_fused_phase &phase) {
    if (phase.n_piece > 0) dense_layer(weights, b, phase);
    const int task = phase.task, l = phase.layer;
    if (task > FRX_FUSED_FEATURES && task != FRX_FUSED_GRADIENT) return;
    /* the warp goes on with its channels */
    __syncwarp();
    if (task == FRX_FUSED_GRADIENT && l == 0) {
        const int n_quad = 2 * phase.tiles, warp = threadIdx.x / 32;
        add_slopes(b, 0, n_quad * warp, n_quad, 1, FRX_FUSED_HELPER + warp);
        return;
    }
    if (task == FRX_FUSED_GRADIENT) barrier.arrive(fused_gradients + l);
    if (task == FRX_FUSED_FEATURES) barrier.wait(fused_filters + l);
    send_messages(b, phase, task == FRX_FUSED_GRADIENT ? b.g(l) : b.h(l));
}

template <typename block>
static __device__ __forceinline__ void
run_dense(const block &b, fused_barrier &barrier, const struct frx_gpu_state &state,
          const struct frx_integrator &integrator, const fused_run &run,
          const struct frx_fused_program &program) {
    const int warp = threadIdx.x / 32;
    fused_weights weights = {};
    weights.start(b.args, program);
    for (int k = 0; k < run.n_evaluation(); k++) {
        barrier.sync(fused_all); /* positions are there */
        find_pairs(b, threadIdx.x);
        barrier.sync(fused_all);
        fill_first(b, run);
        barrier.sync(fused_all);
        struct frx_fused_phase phase = b.phase(program.first);
        for (int f = program.first + 1; f <= program.first + program.n_phase; f++) {
            run_phase(weights, b, barrier, phase);
            barrier.arrive(fused_dense);
            phase = b.phase(f); /* behind the last: not looked at */
            barrier.wait(fused_dense);
        }
        weights.rewind(program);
        barrier.sync(fused_all); /* slopes and priors are there */
        if (warp < b.args.n_bead) turn(b, state, integrator, run, k, warp);
    }
}

template <typename block>
static __device__ __forceinline__ void
run_helper(const block &b, fused_barrier &barrier, const struct frx_gpu_state &state,
           const struct frx_gpu_prior &prior, const struct frx_integrator &integrator, const fused_run &run) {
    const struct frx_fused_args &a = b.args;
    const int n_thread = 32 * FRX_FUSED_HELPER, thread = threadIdx.x - 32 * FRX_FUSED_DENSE,
              warp = thread / 32;
    for (int k = 0; k < run.n_evaluation(); k++) {
        barrier.sync(fused_all);
        barrier.sync(fused_all); /* pairs are there */
        fill_first(b, run);
        barrier.sync(fused_all);
        for (int l = 1; l < a.n_interaction; l++) {
            fill_filters<3>(b, l, !run.energies_only, thread, n_thread);
            barrier.arrive(fused_filters + l);
        }
        if (!run.energies_only) {
            prior_terms(b, prior, run.energy_wanted(k), thread);
            barrier.sync(fused_helpers);
            prior_beads(b, prior, run.energy_wanted(k), thread);
            draw_noise(b, state, integrator, run.first_step + k + 1, thread);
            for (int l = a.n_interaction - 1; l > 0; l--) {
                const int n_quad = a.n_filter / 4 / FRX_FUSED_HELPER;
                barrier.wait(fused_gradients + l);
                add_slopes(b, l, n_quad * warp, n_quad, l == a.n_interaction - 1, warp);
            }
        }
        barrier.sync(fused_all);
        for (int i = FRX_FUSED_DENSE + warp; i < a.n_bead; i += FRX_FUSED_HELPER)
            turn(b, state, integrator, run, k, i);
    }
}

template <bool all_shared, bool exact>
static __global__ void __launch_bounds__(fused_threads, 1)
    fused_kernel(const __grid_constant__ struct frx_fused_args a,
                 const __grid_constant__ struct frx_gpu_state state,
                 const __grid_constant__ struct frx_gpu_prior prior,
                 const __grid_constant__ struct frx_integrator integrator, int n_step, int with_energy,
                 int energies_only) {
    extern __shared__ __align__(16) char shared[];
    const int thread = threadIdx.x;
    const fused_block<all_shared, exact> b = {
        a, shared, a.scratch + (size_t)blockIdx.x * a.layout.scratch_words, (int)blockIdx.x};
    const fused_run run = {*state.step, n_step, with_energy, energies_only};
    fused_barrier barrier = {shared_address(b.at(a.layout.barrier)), 0};
    if (thread == 0) barrier.start();
    load_block(b, state);
    draw_noise(b, state, integrator, run.first_step, thread);
    __syncthreads();
    if (n_step > 0 && thread < a.n_bead) begin_step(b, state, integrator, run.first_step, thread);
    if (thread < 32 * FRX_FUSED_DENSE)
        run_dense(b, barrier, state, integrator, run, a.program[energies_only]);
    else
        run_helper(b, barrier, state, prior, integrator, run);
    __syncthreads();
    if (n_step > 0) store_block(b, state);
}

/* ---- host ---- */

size_t frx_fused_plan(const struct frx_fused_args *args, int operand_units, int n_place, int with_slopes,
                      size_t limit, struct frx_fused_layout *layout) {
    const size_t n_bead = args->n_bead, n_pair = args->n_pair, stride = args->n_filter + 4;
    size_t word = 0, scratch = 0;
    const auto take = [&](size_t n) {
        const int32_t taken = (int32_t)word;
        word += (n + 3) / 4 * 4;
        return taken;
    };
    layout->low = 16 * operand_units;
    (void)take((size_t)layout->low / 2); /* operands, high and low */
    int32_t *const vectors[] = {&layout->position, &layout->velocity, &layout->force, &layout->noise,
                                &layout->prior_force};
    for (int32_t *place : vectors) *place = take(3 * n_bead);
    layout->place_force = take(3 * (size_t)n_place);
    int32_t *const of_pairs[] = {&layout->pair_t, &layout->pair_density, &layout->pair_row, &layout->active};
    for (int32_t *place : of_pairs) *place = take(n_pair);
    layout->pair_direction = take(3 * n_pair);
    layout->near = take(n_bead);
    layout->neighbour = take(n_bead * FRX_FUSED_MAX_BEAD);
    layout->n_active = take(1);
    layout->slope_part = take(fused_warps * n_pair);
    layout->barrier = take(2 * fused_barriers);
    layout->mass = take(n_bead);
    layout->thermal = take(1);
    layout->phase = take(sizeof args->phase / 4);
    const size_t needed = 4 * word;
    layout->all_shared = 1;
    const struct {
        struct frx_fused_place *place;
        size_t n;
    } movable[] = {{&layout->g, args->n_interaction * n_bead * stride},
                   {&layout->h, args->n_interaction * n_bead * stride},
                   {&layout->constant, (size_t)args->n_constant},
                   {&layout->filter, args->n_interaction * (n_pair + 1) * stride},
                   {&layout->filter_slope, with_slopes ? args->n_interaction * (n_pair + 1) * stride : 0}};
    for (const auto &array : movable) {
        array.place->is_shared = 4 * (word + array.n + 3) <= limit;
        if (!array.place->is_shared && array.place != &layout->filter_slope) layout->all_shared = 0;
        if (array.place->is_shared) {
            array.place->word = take(array.n);
        } else {
            array.place->word = (int32_t)scratch;
            scratch += (array.n + 31) / 32 * 32;
        }
    }
    layout->shared_words = (int32_t)word;
    layout->scratch_words = (int32_t)scratch;
    return needed;
}

typedef void (*fused_function)(struct frx_fused_args, struct frx_gpu_state, struct frx_gpu_prior,
                               struct frx_integrator, int, int, int);

static fused_function function_for(const struct frx_fused_args *args, int program) {
    if (args->program[program].exact)
        return args->layout.all_shared ? fused_kernel<true, true> : fused_kernel<false, true>;
    return args->layout.all_shared ? fused_kernel<true, false> : fused_kernel<false, false>;
}

enum frx_status frx_fused_prepare(const struct frx_fused_args *args) {
    int device, limit;
    FRX_CUDA(cudaGetDevice(&device));
    FRX_CUDA(cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
    for (int p = 0; p < args->n_program; p++)
        FRX_CUDA(
            cudaFuncSetAttribute(function_for(args, p), cudaFuncAttributeMaxDynamicSharedMemorySize, limit));
    return FRX_OK;
}

enum frx_status frx_fused_launch(const struct frx_fused_args *args, const struct frx_gpu_state *state,
                                 const struct frx_gpu_prior *prior, const struct frx_integrator *integrator,
                                 int n_step, int with_energy, cudaStream_t stream) {
    const size_t bytes = 4 * (size_t)args->layout.shared_words;
    function_for(args, 0)<<<state->n_rep, fused_threads, bytes, stream>>>(*args, *state, *prior, *integrator,
                                                                          n_step, with_energy, 0);
    FRX_CUDA(cudaGetLastError());
    if (!with_energy || args->n_program == 1) return FRX_OK;
    function_for(args, 1)<<<state->n_rep, fused_threads, bytes, stream>>>(*args, *state, *prior, *integrator,
                                                                          0, 1, 1);
    FRX_CUDA(cudaGetLastError());
    return FRX_OK;
}
