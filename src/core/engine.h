/* The engine: a batch of replicas of one system, propagated by BAOAB Langevin dynamics, each slot at its own
 * temperature.
 *
 * src/cpu and kernels/ each export one `struct frx_engine_class`; nothing else of an engine is visible. Slots
 * are 0..n_rep-1 on this rank. A slot holds a configuration (positions, velocities, forces, potential energy)
 * and the identity of the replica (walker) that it is. All functions are Local.
 *
 * Repeatability: what a configuration does depends on (system, options, identity, beta, step) only - never on
 * its slot, the number of slots, the rank or the number of threads. Host arrays are double; engines whose
 * state is float convert exactly in both directions (every float is a double), so get_state/set_state round
 * trips change no bit.
 *
 * Source of the integrator: Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34 (BAOAB):
 *   v += dt/2 f/m;  x += dt/2 v;  v = c v + sqrt((1 - c^2)/(beta m)) xi, c = exp(-friction dt);  x += dt/2 v;
 *   f = -dU/dx;  v += dt/2 f/m.
 * With friction 0 this is velocity Verlet. xi comes from frx_rng_draw(seed, FRX_RNG_NOISE, identity, step,
 * bead), of whose four normals the first three are used; `step` is the index of the step being made, counted
 * from 0 over the whole run. */
#ifndef FRX_CORE_ENGINE_H
#define FRX_CORE_ENGINE_H

#include "status.h"
#include "system.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum frx_precision {
    FRX_PRECISION_DOUBLE, /* filter networks evaluated per edge in double: the reference */
    FRX_PRECISION_SINGLE, /* tabulated filters, float arithmetic */
    FRX_PRECISION_MIXED   /* tabulated filters, 16-bit tables, features and weights, float accumulation */
};

enum frx_memory_space { FRX_MEMORY_HOST, FRX_MEMORY_DEVICE };

/* A replica counts as diverged when its energy, a force or a position is not finite, or a bead moves farther
 * than this in one step (thermal motion at 1000 K moves a carbon by 0.03 A in 4 fs). */
#define FRX_DISPLACEMENT_LIMIT 2.0 /* Angstrom */

struct frx_engine_options {
    int n_rep; /* slots, >= 1 */
    enum frx_precision precision;
    double timestep;        /* ps */
    double friction;        /* 1/ps; 0: constant energy */
    uint64_t seed;          /* <= FRX_SEED_MAX */
    double table_tolerance; /* of filter tables, relative; 0: the default of the precision */
    int n_thread;           /* CPU threads; 0: as OpenMP decides */
    int device;             /* CUDA device ordinal; ignored by the CPU engine */
    int time_stages; /* CUDA: time every stage for the report, which slows the run; the CPU always does */
    int separate_kernels; /* CUDA: small molecules too by kernels for each layer, not whole steps in one */
};

/* Host views of consecutive slots' configurations; any pointer may be NULL (not wanted / not given). Owned by
 * the caller. */
struct frx_state_view {
    double *positions;  /* [n][n_bead][3] Angstrom */
    double *velocities; /* [n][n_bead][3] A/ps */
    double *forces;     /* [n][n_bead][3] kcal/mol/A */
    double *energy;     /* [n] kcal/mol */
    uint32_t *identity; /* [n] */
};

#define FRX_MAX_STAGE 16

/* What an engine is and what it cost so far. */
struct frx_engine_report {
    char description[256]; /* "CPU, 2 threads, single precision" */
    size_t host_bytes, device_bytes;
    int n_knot;                                  /* of the filter tables; 0: none */
    double table_error_value, table_error_slope; /* deviation of table from network, filter_table.h */
    int n_stage; /* time per stage, e.g. neighbours, messages, dense, priors, integration */
    struct {
        const char *name;
        double seconds; /* wall time summed over calls (CPU: also over threads, divided by their number) */
    } stage[FRX_MAX_STAGE];
    int64_t n_force_evaluation; /* replica-evaluations so far */
};

struct frx_engine; /* opaque; defined by each engine */

struct frx_engine_class {
    const char *name;             /* "cpu", "cuda" */
    enum frx_memory_space memory; /* of send/receive buffers */

    /* Bytes that create() will allocate, without allocating them. Works on a machine without the device.
     * Errors: FRX_ERR_UNSUPPORTED for a precision or width this engine does not have. */
    enum frx_status (*plan)(const struct frx_system *system, const struct frx_engine_options *options,
                            size_t *host_bytes, size_t *device_bytes);

    /* Make an engine for a validated system, which must outlive it. All slots: first starting structure, zero
     * velocities, identity = slot, beta of 300 K. *engine is owned by the caller. Errors: FRX_ERR_MEMORY
     * (saying how many replicas would fit), FRX_ERR_DEVICE, FRX_ERR_UNSUPPORTED, FRX_ERR_MODEL. */
    enum frx_status (*create)(const struct frx_system *system, const struct frx_engine_options *options,
                              struct frx_engine **engine);
    void (*destroy)(struct frx_engine *engine); /* NULL is fine */

    /* Copy n configurations starting at `first` in or out. set_state without forces or without energy makes
     * the engine compute them before they are next needed; with both given they are taken as they are (exact
     * restart). get_state waits for the engine and brings forces and energy up to date when it is asked for
     * them. */
    enum frx_status (*set_state)(struct frx_engine *engine, int first, int n,
                                 const struct frx_state_view *state);
    enum frx_status (*get_state)(struct frx_engine *engine, int first, int n,
                                 const struct frx_state_view *state);

    /* Set every slot's beta ([n_rep], mol/kcal, host) and multiply its velocities by velocity_scale ([n_rep],
     * host; NULL: 1). */
    enum frx_status (*set_temperatures)(struct frx_engine *engine, const double *beta,
                                        const double *velocity_scale);

    /* Draw every slot's velocities from the Maxwell-Boltzmann distribution of its beta, by its identity
     * (FRX_RNG_VELOCITY, step 0, bead). */
    enum frx_status (*draw_velocities)(struct frx_engine *engine);

    /* Make steps step, step+1, .., step+n_step-1 in every slot. May return before they are done; errors then
     * surface in the next waiting call. Errors: FRX_ERR_DIVERGED naming slot, identity, temperature, step and
     * bead; the other slots go on unharmed and can be read by get_state. */
    enum frx_status (*propagate)(struct frx_engine *engine, int64_t step, int n_step);

    /* Move every slot's centre of geometry to the origin, velocities and forces untouched. Nothing happens in
     * a system that is not translation invariant. Called at block boundaries: keeps float positions precise.
     */
    enum frx_status (*recentre)(struct frx_engine *engine);

    /* Potential energy of every slot's present configuration, energy [n_rep], kcal/mol, host. Waits. */
    enum frx_status (*energies)(struct frx_engine *engine, double *energy);

    /* Energy of every slot by part, parts [n_rep][frx_system_n_part], kcal/mol, host. Waits; evaluates
     * afresh, which also brings forces and energies up to date that are not. */
    enum frx_status (*energy_parts)(struct frx_engine *engine, double *parts);

    /* Copy whole configurations (positions, velocities, forces, energy, identity) between slots and the
     * engine's transport buffers: pack slots slot[0..n) into send_buffer, place k at byte k * packed_bytes;
     * unpack from receive_buffer likewise. Buffers hold n_rep configurations and live in `memory` space;
     * `stream` (a cudaStream_t, or NULL on the host) orders them with the engine's other work. */
    enum frx_status (*pack)(struct frx_engine *engine, int n, const int *slot);
    enum frx_status (*unpack)(struct frx_engine *engine, int n, const int *slot);
    enum frx_status (*transport)(struct frx_engine *engine, size_t *packed_bytes, void **send_buffer,
                                 void **receive_buffer, void **stream);

    /* Output without stopping the replicas: snapshot() notes positions and energies of all slots as they are
     * after the work queued so far; snapshot_wait() hands them out (positions [n_rep][n_bead][3] float,
     * Angstrom; energy [n_rep] and kinetic [n_rep], potential and kinetic energy, kcal/mol; identity [n_rep];
     * host, owned by the caller). One snapshot at a time. */
    enum frx_status (*snapshot)(struct frx_engine *engine);
    enum frx_status (*snapshot_wait)(struct frx_engine *engine, float *positions, double *energy,
                                     double *kinetic, uint32_t *identity);

    /* Description, memory, table error and stage times. Waits. */
    enum frx_status (*report)(struct frx_engine *engine, struct frx_engine_report *report);
};

#ifdef __cplusplus
}
#endif
#endif
