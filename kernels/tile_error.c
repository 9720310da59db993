#include "tile_error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* y [n][n_out] = x [n][n_in] W^T + b, or with `transpose` y [n][n_in] = x [n][n_out] W; added to what y
 * holds. */
static void affine_add(const struct frx_dense *dense, int transpose, int n, const double *x, double *y) {
    const int in = dense->n_in, out = dense->n_out;
    for (int i = 0; i < n; i++)
        for (int o = 0; o < out; o++) {
            const double *w = dense->weight + (size_t)o * in;
            if (transpose) {
                for (int k = 0; k < in; k++) y[(size_t)i * in + k] += x[(size_t)i * out + o] * w[k];
            } else {
                double sum = dense->bias ? dense->bias[o] : 0;
                for (int k = 0; k < in; k++) sum += x[(size_t)i * in + k] * w[k];
                y[(size_t)i * out + o] += sum;
            }
        }
}

struct pair {
    int i, j;
    double r, e[3]; /* distance, unit vector from j to i */
};

/* m_i += W_l(r_ij) h_j over both directions of every pair; filter [n_pair][stride], channels first .. first +
 * F */
static void gather(int n_pair, const struct pair *pair, const double *filter, size_t stride, int F,
                   const double *h, double *m) {
    for (int p = 0; p < n_pair; p++) {
        const double *w = filter + p * stride;
        const double *hi = h + (size_t)pair[p].i * F, *hj = h + (size_t)pair[p].j * F;
        double *mi = m + (size_t)pair[p].i * F, *mj = m + (size_t)pair[p].j * F;
        for (int c = 0; c < F; c++) {
            mi[c] += w[c] * hj[c];
            mj[c] += w[c] * hi[c];
        }
    }
}

static void zero(double *x, size_t n) {
    memset(x, 0, n * sizeof *x);
}

/* Energy, and its gradient by the last features x [n][H] -> gx [n][H]; hidden and gradient [n][widest] per
 * layer */
static double output_gradient(const struct frx_network *net, int n, int widest, const double *x,
                              double *hidden, double *gradient, double *gx) {
    const int last = net->output.n_layer - 1;
    const size_t level = (size_t)n * widest;
    for (int k = 0; k < last; k++) {
        double *y = hidden + k * level;
        const size_t count = (size_t)n * net->output.layer[k].n_out;
        zero(y, count);
        affine_add(&net->output.layer[k], 0, n, k ? hidden + (k - 1) * level : x, y);
        for (size_t c = 0; c < count; c++) y[c] = tanh(y[c]);
    }
    double *g = gradient, *below = gradient + level, energy = net->shift;
    zero(g, (size_t)n);
    affine_add(&net->output.layer[last], 0, n, last ? hidden + (last - 1) * level : x, g);
    for (int i = 0; i < n; i++) energy += net->scale * g[i];
    for (int i = 0; i < n; i++) g[i] = net->scale;
    for (int k = last; k >= 0; k--) {
        double *target = k ? below : gx;
        const size_t count = (size_t)n * net->output.layer[k].n_in;
        zero(target, count);
        affine_add(&net->output.layer[k], 1, n, g, target);
        for (size_t c = 0; k && c < count; c++)
            target[c] *= 1 - hidden[(k - 1) * level + c] * hidden[(k - 1) * level + c];
        below = g;
        g = target;
    }
    return energy;
}

static int list_pairs(const double *x, int n_bead, double r_hi, struct pair *pair) {
    int n_pair = 0;
    for (int i = 0; i < n_bead; i++)
        for (int j = 0; j < i; j++) {
            struct pair p = {.i = i, .j = j};
            for (int d = 0; d < 3; d++) p.e[d] = x[3 * i + d] - x[3 * j + d];
            p.r = sqrt(p.e[0] * p.e[0] + p.e[1] * p.e[1] + p.e[2] * p.e[2]);
            if (!(p.r < r_hi)) continue;
            for (int d = 0; d < 3; d++) p.e[d] /= p.r;
            if (pair) pair[n_pair] = p;
            n_pair++;
        }
    return n_pair;
}

enum frx_status frx_network_forces_with(const struct frx_system *system, const double *positions, double r_hi,
                                        frx_filter_function *filter, const void *filters, double *energy,
                                        double *forces) {
    const struct frx_network *net = system->network;
    const int n = system->n_bead, H = net->n_hidden, F = net->n_filter, L = net->n_interaction;
    int widest = H;
    for (int k = 0; k < net->output.n_layer; k++)
        widest = net->output.layer[k].n_out > widest ? net->output.layer[k].n_out : widest;
    const int n_pair = list_pairs(positions, n, r_hi, NULL);
    const size_t stride = (size_t)L * F, nh = (size_t)n * H, nf = (size_t)n * F;
    struct pair *pair = malloc(sizeof *pair * (size_t)(n_pair + 1));
    double *value = malloc(sizeof(double) * stride * (size_t)(n_pair + 1)),
           *slope = malloc(sizeof(double) * stride * (size_t)(n_pair + 1));
    double *h = calloc(L * nf, sizeof(double)), *z = calloc(L * nh, sizeof(double)),
           *m = malloc(sizeof(double) * nf);
    double *x = malloc(sizeof(double) * nh), *gx = malloc(sizeof(double) * nh),
           *y = malloc(sizeof(double) * nh);
    double *hidden = malloc(sizeof(double) * (size_t)(net->output.n_layer + 2) * n * widest);
    const int ok = pair && value && slope && h && z && m && x && gx && y && hidden;
    if (ok) {
        list_pairs(positions, n, r_hi, pair);
        for (int p = 0; p < n_pair; p++) filter(filters, pair[p].r, value + p * stride, slope + p * stride);
        for (int i = 0; i < n; i++)
            memcpy(x + (size_t)i * H, net->embedding + (size_t)system->beads.type[i] * H,
                   sizeof(double) * (size_t)H);
        for (int l = 0; l < L; l++) {
            affine_add(&net->interaction[l].lin1, 0, n, x, h + l * nf);
            zero(m, nf);
            gather(n_pair, pair, value + (size_t)l * F, stride, F, h + l * nf, m);
            affine_add(&net->interaction[l].lin2, 0, n, m, z + l * nh);
            for (size_t c = 0; c < nh; c++) z[l * nh + c] = tanh(z[l * nh + c]);
            affine_add(&net->interaction[l].lin, 0, n, z + l * nh, x);
        }
        *energy =
            output_gradient(net, n, widest, x, hidden, hidden + (size_t)net->output.n_layer * n * widest, gx);
        zero(forces, 3 * (size_t)n);
        for (int l = L - 1; l >= 0; l--) {
            zero(y, nh);
            affine_add(&net->interaction[l].lin, 1, n, gx, y);
            for (size_t c = 0; c < nh; c++) y[c] *= 1 - z[l * nh + c] * z[l * nh + c];
            zero(m, nf); /* becomes dE/dm */
            affine_add(&net->interaction[l].lin2, 1, n, y, m);
            for (int p = 0; p < n_pair; p++) {
                const double *d = slope + p * stride + (size_t)l * F;
                const double *hi = h + l * nf + (size_t)pair[p].i * F,
                             *hj = h + l * nf + (size_t)pair[p].j * F;
                const double *gi = m + (size_t)pair[p].i * F, *gj = m + (size_t)pair[p].j * F;
                double q = 0;
                for (int c = 0; c < F; c++) q += d[c] * (gi[c] * hj[c] + gj[c] * hi[c]);
                for (int k = 0; k < 3; k++) {
                    forces[3 * pair[p].i + k] -= q * pair[p].e[k];
                    forces[3 * pair[p].j + k] += q * pair[p].e[k];
                }
            }
            zero(h + l * nf, nf); /* becomes dE/dh */
            gather(n_pair, pair, value + (size_t)l * F, stride, F, m, h + l * nf);
            affine_add(&net->interaction[l].lin1, 1, n, h + l * nf, gx);
        }
    }
    free(pair), free(value), free(slope), free(h), free(z), free(m), free(x), free(gx), free(y), free(hidden);
    return ok ? FRX_OK : FRX_FAIL(FRX_ERR_MEMORY, "no memory to measure a filter table on %d pairs", n_pair);
}
