/* Host side of the priors: terms sorted for the kernels of prior.cu, and their copy on the device. */
#include "prior.h"

#include <stdlib.h>
#include <string.h>

static int is_repulsion(const struct frx_prior *prior) {
    return prior->form == FRX_FORM_REPULSION;
}

static void count(const struct frx_system *system, struct frx_gpu_prior *prior) {
    for (int p = 0; p < system->n_prior; p++) {
        const struct frx_prior *list = &system->prior[p];
        if (is_repulsion(list)) {
            prior->n_repulsion++;
            prior->n_partner += 2 * (int64_t)list->n_term;
        } else {
            prior->n_term += list->n_term;
            prior->n_place += list->n_term * list->order;
            prior->n_param += list->n_term * list->n_param;
        }
    }
}

/* Turn counts at [k + 1] into where row k begins. */
template <typename integer> static void accumulate(integer *begin, size_t n) {
    for (size_t k = 0; k < n; k++) begin[k + 1] += begin[k];
}

static void sort_terms(const struct frx_system *system, struct frx_gpu_prior *prior, int32_t *next) {
    for (int p = 0; p < system->n_prior; p++) {
        const struct frx_prior *list = &system->prior[p];
        for (int k = 0; !is_repulsion(list) && k < list->n_term * list->order; k++)
            prior->host_place_begin[list->atoms[k] + 1]++;
    }
    accumulate(prior->host_place_begin, (size_t)prior->n_bead);
    memcpy(next, prior->host_place_begin, (size_t)prior->n_bead * sizeof *next);
    int n_term = 0, n_param = 0;
    for (int p = 0; p < system->n_prior; p++) {
        const struct frx_prior *list = &system->prior[p];
        for (int t = 0; !is_repulsion(list) && t < list->n_term; t++) {
            struct frx_gpu_term *term = &prior->host_term[n_term++];
            term->feature = (int16_t)list->feature;
            term->form = (int16_t)list->form;
            term->n_param = (int16_t)list->n_param;
            term->order = (int16_t)list->order;
            term->param = n_param;
            for (int k = 0; k < list->order; k++) {
                term->atom[k] = list->atoms[(size_t)t * list->order + k];
                term->place[k] = next[term->atom[k]]++;
            }
            for (int k = 0; k < list->n_param; k++)
                prior->host_param[n_param++] = (float)list->params[(size_t)t * list->n_param + k];
        }
    }
}

static void sort_partners(const struct frx_system *system, struct frx_gpu_prior *prior, int64_t *next) {
    const int n_bead = prior->n_bead;
    int64_t *begin = prior->host_row_begin;
    for (int p = 0, q = 0; p < system->n_prior; p++) {
        const struct frx_prior *list = &system->prior[p];
        if (!is_repulsion(list)) continue;
        for (int k = 0; k < 2 * list->n_term; k++) begin[(size_t)q * n_bead + list->atoms[k] + 1]++;
        q++;
    }
    accumulate(begin, (size_t)prior->n_repulsion * n_bead);
    memcpy(next, begin, (size_t)prior->n_repulsion * n_bead * sizeof *next);
    for (int p = 0, q = 0; p < system->n_prior; p++) {
        const struct frx_prior *list = &system->prior[p];
        if (!is_repulsion(list)) continue;
        for (int t = 0; t < list->n_term; t++) {
            const int a = list->atoms[2 * t], b = list->atoms[2 * t + 1];
            const double sigma2 = list->params[t] * list->params[t];
            const float sigma6 = (float)(sigma2 * sigma2 * sigma2);
            prior->host_partner[next[(size_t)q * n_bead + a]++] = {b, sigma6};
            prior->host_partner[next[(size_t)q * n_bead + b]++] = {a, sigma6};
        }
        q++;
    }
}

enum frx_status frx_gpu_prior_create(const struct frx_system *system, int n_rep,
                                     struct frx_gpu_prior *prior) {
    memset(prior, 0, sizeof *prior);
    prior->n_rep = n_rep;
    prior->n_bead = system->n_bead;
    for (int p = 0; p < system->n_prior; p++)
        if (system->prior[p].n_param > INT16_MAX)
            return FRX_FAIL(FRX_ERR_UNSUPPORTED,
                            "prior %s has %d parameters per term, at most %d are supported",
                            system->prior[p].name, system->prior[p].n_param, INT16_MAX);
    count(system, prior);
    const size_t n_bead = (size_t)system->n_bead, n_row = prior->n_repulsion * n_bead;
#define ALLOCATE(pointer, n) ((pointer) = (decltype(pointer))calloc((size_t)(n) + 1, sizeof *(pointer)))
    int32_t *next_place;
    int64_t *next_partner;
    const int complete =
        ALLOCATE(prior->host_term, prior->n_term) && ALLOCATE(prior->host_param, prior->n_param) &&
        ALLOCATE(prior->host_place_begin, n_bead) && ALLOCATE(prior->host_row_begin, n_row) &&
        ALLOCATE(prior->host_partner, prior->n_partner);
    ALLOCATE(next_place, n_bead);
    ALLOCATE(next_partner, n_row);
#undef ALLOCATE
    if (complete && next_place && next_partner) {
        sort_terms(system, prior, next_place);
        sort_partners(system, prior, next_partner);
    }
    const int failed = !complete || !next_place || !next_partner;
    free(next_place);
    free(next_partner);
    if (failed) {
        frx_gpu_prior_clear(prior);
        return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the lists of %d priors", system->n_prior);
    }
    return FRX_OK;
}

void frx_gpu_prior_clear(struct frx_gpu_prior *prior) {
    free(prior->host_term);
    free(prior->host_param);
    free(prior->host_place_begin);
    free(prior->host_row_begin);
    free(prior->host_partner);
    memset(prior, 0, sizeof *prior);
}

void frx_gpu_prior_layout(struct frx_gpu_prior *prior, struct frx_arena *arena) {
    const size_t n_rep = (size_t)prior->n_rep;
    FRX_TAKE(arena, prior->term, prior->n_term);
    FRX_TAKE(arena, prior->param, prior->n_param);
    FRX_TAKE(arena, prior->place_begin, prior->n_bead + 1);
    FRX_TAKE(arena, prior->row_begin, (size_t)prior->n_repulsion * prior->n_bead + 1);
    FRX_TAKE(arena, prior->partner, prior->n_partner);
    FRX_TAKE(arena, prior->place_force, n_rep * prior->n_place * 3);
    FRX_TAKE(arena, prior->term_energy, n_rep * prior->n_term);
    FRX_TAKE(arena, prior->row_energy, n_rep * prior->n_repulsion * prior->n_bead);
}

enum frx_status frx_gpu_prior_upload(struct frx_gpu_prior *prior, cudaStream_t stream) {
#define UPLOAD(name, count)                                                                                  \
    FRX_CUDA(cudaMemcpyAsync(prior->name, prior->host_##name, (size_t)(count) * sizeof *prior->name,         \
                             cudaMemcpyHostToDevice, stream))
    UPLOAD(term, prior->n_term);
    UPLOAD(param, prior->n_param);
    UPLOAD(place_begin, prior->n_bead + 1);
    UPLOAD(row_begin, (size_t)prior->n_repulsion * prior->n_bead + 1);
    UPLOAD(partner, prior->n_partner);
#undef UPLOAD
    FRX_CUDA(cudaStreamSynchronize(stream));
    return FRX_OK;
}

void frx_gpu_prior_parts(const struct frx_gpu_prior *prior, const struct frx_system *system,
                         struct frx_gpu_part *part) {
    int n_term = 0, n_repulsion = 0;
    for (int p = 0; p < system->n_prior; p++) {
        const struct frx_prior *list = &system->prior[p];
        if (is_repulsion(list))
            part[p] = {prior->row_energy, prior->n_repulsion * prior->n_bead, n_repulsion++ * prior->n_bead,
                       prior->n_bead, 0};
        else {
            part[p] = {prior->term_energy, prior->n_term, n_term, list->n_term, 0};
            n_term += list->n_term;
        }
    }
}
