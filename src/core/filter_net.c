#include "filter_net.h"

#include <math.h>

#define PI 3.14159265358979323846

/* Distances are worked on in blocks, lane by lane: activations are [channel][lane], lanes 0..BLOCK-1 hold
 * values and, when derivatives are wanted, lanes BLOCK..2 BLOCK-1 hold d/dr of the same. */
enum { BLOCK = 32 };

void frx_envelope_eval(const struct frx_envelope *envelope, double r, double *value, double *slope) {
    const double lo = envelope->r_lo, hi = envelope->r_hi;
    *value = *slope = 0;
    if (r >= hi) return;
    switch (envelope->kind) {
    case FRX_ENVELOPE_IDENTITY:
        *value = 1;
        return;
    case FRX_ENVELOPE_COSINE:
        if (lo > 0) {
            if (r < lo) return;
            const double rate = 2 * PI / (hi - lo);
            *value = 0.5 * (1 - cos(rate * (r - lo)));
            *slope = 0.5 * rate * sin(rate * (r - lo));
        } else {
            const double rate = PI / hi;
            *value = 0.5 * (1 + cos(rate * r));
            *slope = -0.5 * rate * sin(rate * r);
        }
        return;
    case FRX_ENVELOPE_SHIFTED_COSINE:
        *value = 1;
        if (r < lo) return;
        const double rate = PI / (hi - lo);
        *value = 0.5 * (1 + cos(rate * (r - lo)));
        *slope = -0.5 * rate * sin(rate * (r - lo));
        return;
    }
}

static int widest_layer(const struct frx_network *network) {
    int width = network->basis.n_basis;
    for (int l = 0; l < network->n_interaction; l++)
        for (int k = 0; k < network->interaction[l].filter.n_layer; k++)
            if (network->interaction[l].filter.layer[k].n_out > width)
                width = network->interaction[l].filter.layer[k].n_out;
    return width;
}

size_t frx_filter_net_scratch(const struct frx_network *network) {
    return (size_t)widest_layer(network) * 2 * BLOCK * 2; /* input and output of a layer */
}

static void eval_basis(const struct frx_basis *basis, int n, const double *r, int n_lane, double *x) {
    for (int b = 0; b < BLOCK; b++) {
        const double s = r[b < n ? b : 0]; /* idle lanes repeat the first distance */
        double envelope, d_envelope, t = s, dt = 1;
        frx_envelope_eval(&basis->envelope, s, &envelope, &d_envelope);
        if (basis->transform == FRX_BASIS_EXPONENTIAL) {
            t = exp(basis->alpha * (basis->r_shift - s));
            dt = -basis->alpha * t;
        }
        for (int m = 0; m < basis->n_basis; m++) {
            const double u = t - basis->center[m], e = exp(-basis->coefficient[m] * u * u);
            x[m * n_lane + b] = envelope * e;
            if (n_lane > BLOCK)
                x[m * n_lane + BLOCK + b] =
                    d_envelope * e - 2 * envelope * e * basis->coefficient[m] * u * dt;
        }
    }
}

/* y = W x + b on every lane; derivative lanes have no bias. n_lane is a constant after inlining. */
static inline void eval_dense(const struct frx_dense *dense, const double *x, double *y, const int n_lane) {
    for (int o = 0; o < dense->n_out; o++) {
        double sum[2 * BLOCK];
        for (int b = 0; b < n_lane; b++) sum[b] = b < BLOCK && dense->bias ? dense->bias[o] : 0;
        const double *weight = dense->weight + (size_t)o * dense->n_in;
        for (int i = 0; i < dense->n_in; i++)
            for (int b = 0; b < n_lane; b++) sum[b] += weight[i] * x[(size_t)i * n_lane + b];
        for (int b = 0; b < n_lane; b++) y[(size_t)o * n_lane + b] = sum[b];
    }
}

static void eval_tanh(int n_channel, int n_lane, double *x) {
    for (int c = 0; c < n_channel; c++)
        for (int b = 0; b < BLOCK; b++) {
            double *lane = x + (size_t)c * n_lane + b;
            lane[0] = tanh(lane[0]);
            if (n_lane > BLOCK) lane[BLOCK] *= 1 - lane[0] * lane[0];
        }
}

static void eval_block(const struct frx_network *network, int l, int n, const double *r, double *scratch,
                       double *value, double *slope) {
    const struct frx_mlp *mlp = &network->interaction[l].filter;
    const int n_lane = slope ? 2 * BLOCK : BLOCK, n_filter = network->n_filter;
    double *x = scratch, *y = scratch + (size_t)widest_layer(network) * 2 * BLOCK;
    eval_basis(&network->basis, n, r, n_lane, x);
    for (int k = 0; k < mlp->n_layer; k++) {
        if (slope)
            eval_dense(&mlp->layer[k], x, y, 2 * BLOCK);
        else
            eval_dense(&mlp->layer[k], x, y, BLOCK);
        if (k < mlp->n_layer - 1) eval_tanh(mlp->layer[k].n_out, n_lane, y);
        double *swap = x;
        x = y;
        y = swap;
    }
    for (int b = 0; b < n; b++) {
        double envelope, d_envelope;
        frx_envelope_eval(&network->envelope, r[b], &envelope, &d_envelope);
        for (int c = 0; c < n_filter; c++) {
            const double *lane = x + (size_t)c * n_lane + b;
            value[(size_t)b * n_filter + c] = envelope * lane[0];
            if (slope) slope[(size_t)b * n_filter + c] = d_envelope * lane[0] + envelope * lane[BLOCK];
        }
    }
}

void frx_filter_net_eval(const struct frx_network *network, int l, int n, const double *r, double *scratch,
                         double *value, double *slope) {
    for (int first = 0; first < n; first += BLOCK) {
        const size_t offset = (size_t)first * network->n_filter;
        eval_block(network, l, n - first < BLOCK ? n - first : BLOCK, r + first, scratch, value + offset,
                   slope ? slope + offset : NULL);
    }
}
