#include "network_reference.h"

#include "filter_net.h"
#include "stages.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_BLOCK = 32 }; /* pairs whose filters are evaluated together: a block of filter_net.c */

struct frx_reference_work {
    double *filter_scratch;
    double *w, *dw;  /* [N_BLOCK][n_filter] */
    double *x;       /* [n_bead][n_hidden], in the backward pass dE/dx */
    double *h;       /* [n_interaction][n_bead][n_filter] */
    double *y;       /* [n_interaction][n_bead][n_hidden] */
    double *m;       /* [n_bead][n_filter], in the backward pass dE/dm */
    double *gh;      /* [n_bead][n_filter] dE/dh */
    double *gy;      /* [n_bead][n_hidden] dE/dy */
    double *a;       /* [n_bead][n_out] of every output layer, one layer after the other */
    double *ga;      /* [2][n_bead][widest output layer] dE/da */
    double memory[]; /* what all of the above point into */
};

static int widest_output(const struct frx_network *net) {
    int width = 1;
    for (int k = 0; k < net->output.n_layer; k++)
        if (net->output.layer[k].n_out > width) width = net->output.layer[k].n_out;
    return width;
}

/* Doubles in work->memory; sets the pointers into it if there is a work. */
static size_t lay_out(const struct frx_system *system, struct frx_reference_work *work) {
    const struct frx_network *net = system->network;
    const size_t n = (size_t)system->n_bead, f = (size_t)net->n_filter, h = (size_t)net->n_hidden;
    const size_t n_interaction = (size_t)net->n_interaction;
    size_t used = 0;
#define TAKE(field, size)                                                                                    \
    do {                                                                                                     \
        if (work) work->field = work->memory + used;                                                         \
        used += (size);                                                                                      \
    } while (0)
    TAKE(filter_scratch, frx_filter_net_scratch(net));
    TAKE(w, N_BLOCK * f);
    TAKE(dw, N_BLOCK * f);
    TAKE(x, n * h);
    TAKE(h, n_interaction * n * f);
    TAKE(y, n_interaction * n * h);
    TAKE(m, n * f);
    TAKE(gh, n * f);
    TAKE(gy, n * h);
    TAKE(a, 0);
    for (int k = 0; k < net->output.n_layer; k++) used += n * (size_t)net->output.layer[k].n_out;
    TAKE(ga, 2 * n * (size_t)widest_output(net));
#undef TAKE
    return used;
}

size_t frx_reference_work_bytes(const struct frx_system *system) {
    return sizeof(struct frx_reference_work) + lay_out(system, NULL) * sizeof(double);
}

struct frx_reference_work *frx_reference_work_create(const struct frx_system *system) {
    struct frx_reference_work *work = malloc(frx_reference_work_bytes(system));
    if (work) lay_out(system, work);
    return work;
}

void frx_reference_work_destroy(struct frx_reference_work *work) {
    free(work);
}

/* ---- dense layers: y = x W^T + b for n rows, and its backward pass ---- */

static void dense_forward(const struct frx_dense *dense, int n, const double *x, double *y) {
    const int n_in = dense->n_in, n_out = dense->n_out;
    for (int i = 0; i < n; i++)
        for (int o = 0; o < n_out; o++) {
            const double *weight = dense->weight + (size_t)o * n_in, *row = x + (size_t)i * n_in;
            double sum = dense->bias ? dense->bias[o] : 0;
#pragma omp simd reduction(+ : sum)
            for (int k = 0; k < n_in; k++) sum += weight[k] * row[k];
            y[(size_t)i * n_out + o] = sum;
        }
}

/* gx = gy W, or gx += gy W */
static void dense_backward(const struct frx_dense *dense, int n, const double *gy, int add, double *gx) {
    const int n_in = dense->n_in, n_out = dense->n_out;
    if (!add) memset(gx, 0, (size_t)n * n_in * sizeof *gx);
    for (int i = 0; i < n; i++)
        for (int o = 0; o < n_out; o++) {
            const double *weight = dense->weight + (size_t)o * n_in, g = gy[(size_t)i * n_out + o];
            double *row = gx + (size_t)i * n_in;
            for (int k = 0; k < n_in; k++) row[k] += g * weight[k];
        }
}

static void apply_tanh(size_t n, double *x) {
    for (size_t k = 0; k < n; k++) x[k] = tanh(x[k]);
}

/* From dE/dy to dE/dv for y = tanh(v) */
static void tanh_backward(size_t n, const double *y, double *g) {
    for (size_t k = 0; k < n; k++) g[k] *= 1 - y[k] * y[k];
}

/* ---- messages ---- */

/* What the passes over pairs need. */
struct graph {
    const struct frx_network *net;
    const struct frx_pairs *pairs;
    frx_filter_function *filter; /* NULL: the network's */
    const void *filters;
    int n_bead;
};

/* work->w and, if with_slope, work->dw of n pairs from `first` on */
static void eval_filters(const struct graph *graph, int l, int first, int n, int with_slope,
                         struct frx_reference_work *work) {
    const double *r = graph->pairs->r + first;
    double *slope = with_slope ? work->dw : NULL;
    if (graph->filter)
        graph->filter(graph->filters, l, n, r, work->w, slope);
    else
        frx_filter_net_eval(graph->net, l, n, r, work->filter_scratch, work->w, slope);
}

static void messages_forward(const struct graph *graph, int l, struct frx_reference_work *work) {
    const struct frx_pairs *list = graph->pairs;
    const int f = graph->net->n_filter, n_bead = graph->n_bead;
    const double *h = work->h + (size_t)l * n_bead * f;
    memset(work->m, 0, (size_t)n_bead * f * sizeof *work->m);
    for (int first = 0; first < list->n_pair; first += N_BLOCK) {
        const int n = list->n_pair - first < N_BLOCK ? list->n_pair - first : N_BLOCK;
        eval_filters(graph, l, first, n, 0, work);
        for (int p = 0; p < n; p++) {
            const size_t i = (size_t)list->i[first + p] * f, j = (size_t)list->j[first + p] * f;
            const double *w = work->w + (size_t)p * f;
            for (int c = 0; c < f; c++) {
                work->m[i + c] += w[c] * h[j + c];
                work->m[j + c] += w[c] * h[i + c];
            }
        }
    }
}

/* work->m holds dE/dm; leaves dE/dh in work->gh and adds the forces. */
static void messages_backward(const struct graph *graph, int l, struct frx_reference_work *work,
                              double *forces) {
    const struct frx_pairs *list = graph->pairs;
    const int f = graph->net->n_filter, n_bead = graph->n_bead;
    const double *h = work->h + (size_t)l * n_bead * f, *g = work->m;
    memset(work->gh, 0, (size_t)n_bead * f * sizeof *work->gh);
    for (int first = 0; first < list->n_pair; first += N_BLOCK) {
        const int n = list->n_pair - first < N_BLOCK ? list->n_pair - first : N_BLOCK;
        eval_filters(graph, l, first, n, 1, work);
        for (int p = 0; p < n; p++) {
            const int bead_i = list->i[first + p], bead_j = list->j[first + p];
            const size_t i = (size_t)bead_i * f, j = (size_t)bead_j * f;
            const double *w = work->w + (size_t)p * f, *dw = work->dw + (size_t)p * f;
            double slope = 0; /* dE/dr */
#pragma omp simd reduction(+ : slope)
            for (int c = 0; c < f; c++) {
                work->gh[j + c] += w[c] * g[i + c];
                work->gh[i + c] += w[c] * g[j + c];
                slope += dw[c] * (g[i + c] * h[j + c] + g[j + c] * h[i + c]);
            }
            for (int k = 0; k < 3; k++) {
                const double push = slope * list->unit[3 * ((size_t)first + p) + k];
                forces[3 * (size_t)bead_i + k] -= push;
                forces[3 * (size_t)bead_j + k] += push;
            }
        }
    }
}

/* ---- the whole network ---- */

/* Energy from x; leaves dE/dx in x. */
static double output_layers(const struct frx_network *net, int n, struct frx_reference_work *work) {
    const struct frx_mlp *mlp = &net->output;
    double *in = work->x, *out = work->a, energy = 0;
    for (int k = 0; k < mlp->n_layer; k++) {
        const size_t size = (size_t)n * mlp->layer[k].n_out;
        dense_forward(&mlp->layer[k], n, in, out);
        if (k < mlp->n_layer - 1) apply_tanh(size, out);
        in = out;
        out += size;
    }
    double *g = work->ga, *g_next = work->ga + (size_t)n * widest_output(net);
    for (int i = 0; i < n; i++) {
        energy += in[i];
        g[i] = net->scale;
    }
    for (int k = mlp->n_layer - 1; k > 0; k--) { /* `in` is the output of layer k, before it lies its input */
        const size_t size = (size_t)n * mlp->layer[k].n_in;
        in -= size;
        dense_backward(&mlp->layer[k], n, g, 0, g_next);
        tanh_backward(size, in, g_next);
        double *swap = g;
        g = g_next;
        g_next = swap;
    }
    dense_backward(&mlp->layer[0], n, g, 0, work->x);
    return net->scale * energy + net->shift;
}

double frx_reference_eval(const struct frx_system *system, struct frx_reference_work *work,
                          const struct frx_pairs *pairs, frx_filter_function *filter, const void *filters,
                          double *forces, struct frx_stages *stages) {
    const struct frx_network *net = system->network;
    const int n = system->n_bead, n_hidden = net->n_hidden;
    const struct graph graph = {net, pairs, filter, filters, n};
    const size_t size_h = (size_t)n * net->n_filter, size_y = (size_t)n * n_hidden;
    for (int i = 0; i < n; i++)
        memcpy(work->x + (size_t)i * n_hidden, net->embedding + (size_t)system->beads.type[i] * n_hidden,
               (size_t)n_hidden * sizeof *work->x);
    for (int l = 0; l < net->n_interaction; l++) {
        const struct frx_interaction *interaction = &net->interaction[l];
        double *y = work->y + l * size_y;
        dense_forward(&interaction->lin1, n, work->x, work->h + l * size_h);
        frx_stages_book(stages, FRX_STAGE_DENSE);
        messages_forward(&graph, l, work);
        frx_stages_book(stages, FRX_STAGE_FORWARD);
        dense_forward(&interaction->lin2, n, work->m, y);
        apply_tanh(size_y, y);
        dense_forward(&interaction->lin, n, y, work->gy);
        for (size_t k = 0; k < size_y; k++) work->x[k] += work->gy[k];
    }
    const double energy = output_layers(net, n, work);
    for (int l = net->n_interaction - 1; l >= 0; l--) {
        const struct frx_interaction *interaction = &net->interaction[l];
        dense_backward(&interaction->lin, n, work->x, 0, work->gy);
        tanh_backward(size_y, work->y + l * size_y, work->gy);
        dense_backward(&interaction->lin2, n, work->gy, 0, work->m);
        frx_stages_book(stages, FRX_STAGE_DENSE);
        messages_backward(&graph, l, work, forces);
        frx_stages_book(stages, FRX_STAGE_BACKWARD);
        if (l > 0) dense_backward(&interaction->lin1, n, work->gh, 1, work->x);
    }
    frx_stages_book(stages, FRX_STAGE_DENSE);
    return energy;
}
