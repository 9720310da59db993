/* Steps of small molecules in one kernel (fused.h), their host half, which needs no GPU: programs, products
 * of layers, scales, the packing of weights and the layout. The programs are carried out by plain loops that
 * take the weights in the order in which kernels/fused_dense.cuh does, and forces and energies are compared
 * with the CPU engine in double precision. What is not looked at here: the kernel itself, its barriers,
 * priors and integration. */
#include "../../kernels/network_fused.cu"

#include "check.h"
#include "cpu_engine.h"
#include "make_system.h"

#include <algorithm>
#include <vector>

namespace {

enum { most_beads = FRX_FUSED_MAX_BEAD, piece_halves = 32 * 8 };

struct machine {
    const frx_fused *f;
    const frx_fused_program *program;
    std::vector<half> operand; /* high, then low */
    std::vector<half> weight;
    std::vector<float> constant;
    std::vector<float> h, g; /* [n_interaction][n_bead][F] */
    std::vector<double> filter,
        slope; /* [n_interaction][n_bead][n_bead][F] of the network, scaled; 0 beyond reach */
    const half *next[FRX_FUSED_DENSE]; /* piece of each warp's stream */

    int n_bead() const { return f->args.n_bead; }
    int width() const { return f->args.n_filter; }
    size_t row(int l, int i) const { return ((size_t)l * n_bead() + i) * width(); }
    size_t pair(int l, int i, int j) const { return (((size_t)l * n_bead() + i) * n_bead() + j) * width(); }
    half *at(const frx_fused_operand &o, int bead, int channel) {
        return operand.data() + (o.begin + bead * o.stride) / 2 + channel;
    }
    int low() const { return f->args.layout.low / 2; }
    float get(const frx_fused_operand &o, int bead, int channel) {
        const half *from = at(o, bead, channel);
        return __half2float(from[0]) + (program->exact ? __half2float(from[low()]) : 0.0f);
    }
    void put(const frx_fused_operand &o, int bead, int channel, float value) {
        half *to = at(o, bead, channel);
        to[0] = __float2half_rn(value);
        if (program->exact) to[low()] = __float2half_rn(value - __half2float(to[0]));
    }
};

/* What becomes of the sum of a channel (finish in fused_dense.cuh). */
void finish(machine *m, const frx_fused_phase &p, int bead, int c, float v) {
    const float bias = m->constant[p.bias + bead * p.bias_stride + c];
    switch (p.task) {
    case FRX_FUSED_SLOPE: {
        const float y = m->get(p.other, bead, c);
        m->put(p.out, bead, c, v * (1 - y * y));
        break;
    }
    case FRX_FUSED_TANH:
        m->put(p.out, bead, c, tanhf(v + bias));
        break;
    case FRX_FUSED_FEATURES:
        m->h[m->row(p.layer, bead) + c] = v + bias;
        break;
    case FRX_FUSED_GRADIENT:
        m->g[m->row(p.layer, bead) + c] = v;
        break;
    default: {
        const int linear = p.task == FRX_FUSED_LINEAR;
        const float y = linear ? v + bias : tanhf(v + bias);
        const float last = m->constant[m->f->args.last_weight + c];
        m->put(p.other, bead, c, y);
        m->put(p.out, bead, c, m->f->args.seed * last * (linear ? 1 : 1 - y * y));
    }
    }
}

/* One warp's channels of a dense layer (multiply_batch): D[bead][channel] += A[bead][input]
 * B[input][channel]. */
void dense(machine *m, const frx_fused_phase &p, int warp) {
    const int exact = m->program->exact, passes = frx_fused_n_pass(m->program, &p), tiles = p.tiles / passes;
    for (int pass = 0; pass < passes; pass++) {
        double sum[4][most_beads][8] = {};
        for (int unit = 0; unit < p.n_piece / passes / (1 + exact); unit++) {
            const half *high = m->next[warp], *small = high + piece_halves;
            m->next[warp] += (1 + exact) * piece_halves;
            for (int k = 0; k < 2; k++) {
                const int pair = 2 * unit + k, step = pair / tiles, tile = pair % tiles;
                for (int bead = 0; bead < m->n_bead(); bead++)
                    for (int c = 0; c < 8; c++)
                        for (int q = 0; q < 16; q++) {
                            const int lane = 4 * c + q % 8 / 2,
                                      which = 8 * lane + 4 * k + 2 * (q / 8) + q % 2;
                            const half *a = m->at(p.in, bead, 16 * step + q);
                            const double a_high = __half2float(a[0]), b = __half2float(high[which]);
                            sum[tile][bead][c] += a_high * b;
                            if (exact)
                                sum[tile][bead][c] +=
                                    __half2float(a[m->low()]) * b + a_high * __half2float(small[which]);
                        }
            }
        }
        for (int tile = 0; tile < tiles; tile++)
            for (int bead = 0; bead < m->n_bead(); bead++)
                for (int c = 0; c < 8; c++)
                    finish(m, p, bead, 8 * (p.tiles * warp + tiles * pass + tile) + c,
                           (float)(p.unscale * sum[tile][bead][c]));
    }
}

void send_messages(machine *m, const frx_fused_phase &p, const std::vector<float> &source) {
    const float scale = m->f->args.value_scale[p.layer];
    for (int i = 0; i < m->n_bead(); i++)
        for (int c = 0; c < m->width(); c++) {
            double sum = 0;
            for (int j = 0; j < m->n_bead(); j++) {
                const double w = m->filter[m->pair(p.layer, i, j) + c];
                const double rounded = p.value_unscale * __half2float(__float2half_rn((float)(scale * w)));
                sum += (m->program->exact ? w : rounded) * source[m->row(p.layer, j) + c];
            }
            m->put(p.out, i, c, (float)sum);
        }
}

void run(machine *m, const frx_fused_program *program) {
    const size_t stream = (size_t)piece_halves * (program->n_piece + program->n_first);
    const half *begin = m->weight.data() + 8 * (size_t)program->weight;
    m->program = program;
    for (int w = 0; w < FRX_FUSED_DENSE; w++) m->next[w] = begin + w * stream;
    for (int k = program->first; k < program->first + program->n_phase; k++) {
        const frx_fused_phase &p = m->f->args.phase[k];
        for (int w = 0; w < FRX_FUSED_DENSE && p.n_piece > 0; w++) dense(m, p, w);
        if (p.task <= FRX_FUSED_FEATURES) send_messages(m, p, m->h);
        if (p.task == FRX_FUSED_GRADIENT && p.layer > 0) send_messages(m, p, m->g);
    }
    for (int w = 0; w < FRX_FUSED_DENSE; w++)
        CHECK(memcmp(m->next[w], begin + w * stream, sizeof(half) * piece_halves * program->n_first) == 0,
              "warp %d's weights end with its first batch", w);
}

void fill_filters(machine *m, const frx_system *system) {
    const frx_filter_grid &grid = m->f->args.grid;
    std::vector<double> value(m->width()), slope(m->width());
    for (int i = 0; i < m->n_bead(); i++)
        for (int j = 0; j < m->n_bead(); j++) {
            double square = 0;
            for (int d = 0; d < 3; d++)
                square += pow(system->structures[3 * i + d] - system->structures[3 * j + d], 2);
            const double r = sqrt(square);
            for (int l = 0; l < m->f->args.n_interaction && i != j && r >= grid.r_lo && r < grid.r_hi; l++) {
                frx_filter_table_eval(&m->f->table, l, r, value.data(), slope.data());
                for (int c = 0; c < system->network->n_filter; c++) {
                    m->filter[m->pair(l, i, j) + c] = filter_scale(m->f, l) * value[c];
                    m->slope[m->pair(l, i, j) + c] = filter_scale(m->f, l) * slope[c];
                }
            }
        }
}

/* -dE/dx from h and g; [n_bead][3] */
void forces_of(const machine *m, const frx_system *system, double *force) {
    for (int i = 0; i < m->n_bead(); i++)
        for (int j = 0; j < m->n_bead(); j++) {
            double d[3], square = 0, slope = 0;
            for (int q = 0; q < 3; q++) d[q] = system->structures[3 * i + q] - system->structures[3 * j + q];
            for (int q = 0; q < 3; q++) square += d[q] * d[q];
            for (int l = 0; l < m->f->args.n_interaction && i != j; l++)
                for (int c = 0; c < m->width(); c++)
                    slope += m->slope[m->pair(l, i, j) + c] *
                             ((double)m->g[m->row(l, i) + c] * m->h[m->row(l, j) + c] +
                              (double)m->g[m->row(l, j) + c] * m->h[m->row(l, i) + c]);
            for (int q = 0; q < 3 && i != j; q++)
                force[3 * i + q] -= m->f->args.force_scale * slope * d[q] / sqrt(square);
        }
}

double energy_of(machine *m, const frx_system *system) {
    double sum = system->network->shift;
    for (int i = 0; i < m->n_bead(); i++) {
        double bead = m->f->args.last_bias;
        for (int c = 0; c < m->f->args.last_width; c++)
            bead += m->constant[m->f->args.last_weight + c] * m->get(m->f->args.last, i, c);
        sum += m->f->args.energy_scale * bead;
    }
    return sum;
}

double norm(const std::vector<double> &a) {
    double sum = 0;
    for (double x : a) sum += x * x;
    return sqrt(sum);
}

/* Errors of force (relative) and energy against the CPU engine. broken: with two pieces of weights exchanged.
 */
void compare(const frx_system *system, enum frx_precision precision, int broken, double *force_error,
             double *energy_error) {
    frx_engine_options options = {};
    options.n_rep = options.n_thread = 1;
    options.timestep = 0.002;
    options.precision = FRX_PRECISION_DOUBLE;
    frx_engine *cpu = NULL;
    std::vector<double> expected(3 * system->n_bead), force(3 * system->n_bead, 0.0);
    double energy = 0;
    frx_state_view view = {};
    view.forces = expected.data();
    view.energy = &energy;
    CHECK_OK(frx_cpu_engine.create(system, &options, &cpu));
    CHECK_OK(frx_cpu_engine.get_state(cpu, 0, 1, &view));
    frx_cpu_engine.destroy(cpu);

    frx_gpu_network *network = NULL;
    options.precision = precision;
    CHECK(frx_fused_takes(system), "it is small");
    CHECK_OK(fused_create(system, &options, &network));
    frx_fused *f = fused_of(network);
    const size_t least = 99 * 1024;
    CHECK(frx_fused_lay_out(f, least) <= least, "it fits into the smallest card");
    machine m = {};
    m.f = f;
    m.weight.resize(8 * f->n_weight);
    m.constant.resize(f->args.n_constant);
    m.operand.resize(f->args.layout.low);
    m.h.resize(m.row(f->args.n_interaction, 0));
    m.g = m.h;
    m.filter.resize(m.pair(f->args.n_interaction, 0, 0));
    m.slope = m.filter;
    CHECK_OK(pack_weights(f, m.weight.data()));
    pack_constants(f, m.constant.data(), m.h.data()); /* h of the first interaction is a constant */
    fill_filters(&m, system);
    if (broken) { /* the first warp's weights of forces are the second one's */
        const frx_fused_program &program = f->args.program[0];
        half *first = m.weight.data() + 8 * (size_t)program.weight;
        const size_t stream = (size_t)piece_halves * (program.n_piece + program.n_first);
        std::swap_ranges(first, first + stream, first + stream);
    }
    for (int p = 0; p < f->args.n_program; p++) {
        run(&m, &f->args.program[p]);
        if (p == 0) forces_of(&m, system, force.data());
    }
    *energy_error = fabs(energy_of(&m, system) - energy);
    for (int k = 0; k < 3 * system->n_bead; k++) force[k] -= expected[k];
    *force_error = norm(expected) > 0 ? norm(force) / norm(expected) : norm(force);
    fused_destroy(network);
}

struct shape {
    const char *name;
    int n_bead, n_hidden, n_filter, n_interaction, n_output_layer, bias;
    double reach; /* Angstrom */
};

} // namespace

int main() {
    static const struct shape shapes[] = {{"one bead", 1, 64, 64, 2, 2, 0, 10},
                                          {"as mlcg's chignolin", 10, 256, 128, 3, 3, 0, 5},
                                          {"as torchmd's", 10, 128, 128, 4, 2, 1, 12},
                                          {"linear output, all near", 16, 24, 20, 2, 1, 1, 40},
                                          {"as many layers as one kernel takes", 7, 24, 20, 8, 5, 0, 10},
                                          {"many filters", 9, 64, 256, 2, 3, 0, 10},
                                          {"few filters, 192 hidden", 8, 192, 20, 3, 2, 0, 10}};
    for (const struct shape &shape : shapes) {
        struct frx_test_model model = frx_test_model_default();
        struct frx_system system;
        model.n_bead = shape.n_bead, model.n_hidden = shape.n_hidden, model.n_filter = shape.n_filter;
        model.n_interaction = shape.n_interaction, model.n_output_layer = shape.n_output_layer;
        model.bias = shape.bias, model.priors = FRX_TEST_PRIORS_NONE;
        model.r_cut = model.envelope.r_hi = model.basis_envelope.r_hi = shape.reach;
        frx_test_system_make(&model, &system);
        for (int mixed = 0; mixed < 2; mixed++) {
            const enum frx_precision precision = mixed ? FRX_PRECISION_MIXED : FRX_PRECISION_SINGLE;
            double force, energy;
            compare(&system, precision, 0, &force, &energy);
            printf("%-36s %s: force off by %.1e, energy by %.1e\n", shape.name, mixed ? "mixed " : "single",
                   force, energy);
            CHECK(force <= (mixed ? 5e-3 : 2e-5), "%s: force is off by %g", shape.name, force);
            CHECK(energy <= 1e-5 * system.n_bead, "%s: energy is off by %g", shape.name, energy);
            if (shape.n_bead == 1) continue; /* feels no force */
            compare(&system, precision, 1, &force, &energy);
            CHECK(force > 2e-2, "%s: with the weights of two warps exchanged the force is off by %g only",
                  shape.name, force);
        }
        frx_system_clear(&system);
    }
    return frx_check_result();
}
