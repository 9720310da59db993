#include "naive_schnet.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PI     3.14159265358979323846
#define WIDEST 256 /* channels that this file can handle */

static double envelope(const struct frx_envelope *e, double r) {
    if (r >= e->r_hi) return 0;
    if (e->kind == FRX_ENVELOPE_IDENTITY) return 1;
    if (e->kind == FRX_ENVELOPE_SHIFTED_COSINE)
        return r < e->r_lo ? 1 : (1 + cos(PI * (r - e->r_lo) / (e->r_hi - e->r_lo))) / 2;
    if (e->r_lo == 0) return (1 + cos(PI * r / e->r_hi)) / 2;
    return r <= e->r_lo ? 0 : (1 + cos(PI * (2 * (r - e->r_lo) / (e->r_hi - e->r_lo) + 1))) / 2;
}

/* y = W x + b, y may not be x */
static void dense(const struct frx_dense *d, const double *x, double *y) {
    for (int o = 0; o < d->n_out; o++) {
        y[o] = d->bias ? d->bias[o] : 0;
        for (int i = 0; i < d->n_in; i++) y[o] += d->weight[o * d->n_in + i] * x[i];
    }
}

static void mlp(const struct frx_mlp *m, const double *x, double *y) {
    double in[WIDEST] = {0};
    memcpy(in, x, (size_t)m->layer[0].n_in * sizeof *in);
    for (int k = 0; k < m->n_layer; k++) {
        dense(&m->layer[k], in, y);
        for (int o = 0; o < m->layer[k].n_out; o++) in[o] = k < m->n_layer - 1 ? tanh(y[o]) : y[o];
    }
}

static void filter(const struct frx_network *net, int l, double r, double r_envelope, double *w) {
    double phi[WIDEST] = {0};
    const struct frx_basis *b = &net->basis;
    for (int n = 0; n < b->n_basis; n++) {
        const double t = b->transform == FRX_BASIS_LINEAR ? r : exp(b->alpha * (b->r_shift - r));
        phi[n] = envelope(&b->envelope, r_envelope) * exp(-b->coefficient[n] * pow(t - b->center[n], 2));
    }
    mlp(&net->interaction[l].filter, phi, w);
    for (int c = 0; c < net->n_filter; c++) w[c] *= envelope(&net->envelope, r_envelope);
}

static double distance(const double *x, int i, int j) {
    double r2 = 0;
    for (int k = 0; k < 3; k++) r2 += pow(x[3 * i + k] - x[3 * j + k], 2);
    return sqrt(r2);
}

double frx_naive_schnet(const struct frx_system *system, const double *x, const double *x_envelope) {
    const struct frx_network *net = system->network;
    const int n = system->n_bead, n_hidden = net->n_hidden;
    double *feature = malloc((size_t)n * n_hidden * sizeof *feature);
    double *next = malloc((size_t)n * n_hidden * sizeof *next);
    double energy = net->shift;
    for (int i = 0; i < n; i++)
        memcpy(feature + i * n_hidden, net->embedding + system->beads.type[i] * n_hidden,
               (size_t)n_hidden * sizeof *feature);
    for (int l = 0; l < net->n_interaction; l++) {
        const struct frx_interaction *interaction = &net->interaction[l];
        for (int i = 0; i < n; i++) {
            double m[WIDEST] = {0}, y[WIDEST] = {0}, update[WIDEST] = {0};
            for (int j = 0; j < n; j++) {
                double w[WIDEST] = {0}, h[WIDEST] = {0};
                if (j == i || distance(x_envelope, i, j) >= net->r_cut) continue;
                filter(net, l, distance(x, i, j), distance(x_envelope, i, j), w);
                dense(&interaction->lin1, feature + j * n_hidden, h);
                for (int c = 0; c < net->n_filter; c++) m[c] += w[c] * h[c];
            }
            dense(&interaction->lin2, m, y);
            for (int c = 0; c < n_hidden; c++) y[c] = tanh(y[c]);
            dense(&interaction->lin, y, update);
            for (int c = 0; c < n_hidden; c++) next[i * n_hidden + c] = feature[i * n_hidden + c] + update[c];
        }
        memcpy(feature, next, (size_t)n * n_hidden * sizeof *feature);
    }
    for (int i = 0; i < n; i++) {
        double out[WIDEST] = {0};
        mlp(&net->output, feature + i * n_hidden, out);
        energy += net->scale * out[0];
    }
    free(feature);
    free(next);
    return energy;
}

void frx_naive_envelope_forces(const struct frx_system *system, const double *x, double *forces) {
    const size_t size = 3 * (size_t)system->n_bead;
    const double h = 1e-4;
    double *moved = malloc(size * sizeof *moved);
    memcpy(moved, x, size * sizeof *moved);
    for (size_t k = 0; k < size; k++) {
        moved[k] = x[k] + h;
        const double up = frx_naive_schnet(system, x, moved);
        moved[k] = x[k] - h;
        forces[k] = -(up - frx_naive_schnet(system, x, moved)) / (2 * h);
        moved[k] = x[k];
    }
    free(moved);
}
