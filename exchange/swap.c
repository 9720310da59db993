#include "swap.h"

#include "rng.h"

#include <math.h>

double frx_swap_probability(double beta_i, double beta_j, double energy_i, double energy_j) {
    if (!isfinite(energy_i) || !isfinite(energy_j)) return 0;
    const double exponent = (beta_i - beta_j) * (energy_i - energy_j);
    return exponent >= 0 ? 1 : exp(exponent);
}

static void exchange_places(int *from, int i, int j) {
    const int kept = from[i];
    from[i] = from[j];
    from[j] = kept;
}

/* Configurations from[i] and from[j] sit at rungs i and j: swap them with their acceptance probability. */
static int try_pair(uint64_t seed, int ladder, int64_t event, uint32_t draw, const double *beta,
                    const double *energy, int *from, int i, int j) {
    const double a = frx_swap_probability(beta[i], beta[j], energy[from[i]], energy[from[j]]);
    const struct frx_philox bits = frx_rng_draw(seed, FRX_RNG_SWAP, (uint32_t)ladder, (uint64_t)event, draw);
    if (frx_rng_uniform(bits.v[0]) >= a) return 0;
    exchange_places(from, i, j);
    return 1;
}

/* Uniform in 0 .. n-1 */
static int draw_below(uint32_t bits, int n) {
    return (int)frx_mulhi32(bits, (uint32_t)n);
}

static void decide_gibbs(uint64_t seed, int ladder, int64_t event, int n_rung, const double *beta,
                         const double *energy, struct frx_swap *swap) {
    const int64_t n_draw = n_rung > 1 ? (int64_t)n_rung * n_rung * n_rung : 0;
    for (int64_t draw = 0; draw < n_draw; draw++) {
        const struct frx_philox bits =
            frx_rng_draw(seed, FRX_RNG_SCHEME, (uint32_t)ladder, (uint64_t)event, (uint32_t)draw);
        const int i = draw_below(bits.v[0], n_rung), other = draw_below(bits.v[1], n_rung - 1);
        const int j = other < i ? other : other + 1; /* any rung but i */
        const int accepted = try_pair(seed, ladder, event, (uint32_t)draw, beta, energy, swap->from, i, j);
        const int lower = i < j ? i : j;
        if (i + j == 2 * lower + 1) {
            swap->n_attempt[lower]++;
            swap->n_accept[lower] += accepted;
        }
    }
}

void frx_swap_decide(enum frx_scheme scheme, uint64_t seed, int ladder, int64_t event, int n_rung,
                     const double *beta, const double *energy, struct frx_swap *swap) {
    for (int k = 0; k < n_rung; k++) swap->from[k] = k;
    for (int k = 0; k < n_rung - 1; k++) {
        swap->probability[k] = frx_swap_probability(beta[k], beta[k + 1], energy[k], energy[k + 1]);
        swap->n_attempt[k] = swap->n_accept[k] = 0;
    }
    if (scheme == FRX_SCHEME_GIBBS) {
        decide_gibbs(seed, ladder, event, n_rung, beta, energy, swap);
        return;
    }
    int parity = (int)(event & 1);
    if (scheme == FRX_SCHEME_STOCHASTIC_EVEN_ODD)
        parity = (int)(frx_rng_draw(seed, FRX_RNG_SCHEME, (uint32_t)ladder, (uint64_t)event, 0).v[0] & 1);
    for (int k = parity; k < n_rung - 1; k += 2) {
        swap->n_attempt[k] = 1;
        swap->n_accept[k] = try_pair(seed, ladder, event, (uint32_t)k, beta, energy, swap->from, k, k + 1);
    }
}
