/* One term, and one bead's share, of the priors: device functions of every kernel that evaluates them.
 *
 * Float arithmetic: distances are differences of nearby floats and so nearly exact; angles and torsions go
 * through atan2, which keeps its accuracy where acos loses it.
 *
 * Source: torsion gradient: Blondel and Karplus, J. Comput. Chem. 17, 1132 (1996). */
#ifndef FRX_KERNELS_PRIOR_CUH
#define FRX_KERNELS_PRIOR_CUH

#include "prior.h"

#include "vector.h"

/* ---- features: x and its gradient ---- */

static __device__ float distance_feature(const float3 r[4], float3 gradient[4]) {
    const float3 d = r[1] - r[0];
    const float x = sqrtf(dot(d, d));
    gradient[1] = (1.0f / x) * d;
    gradient[0] = -1.0f * gradient[1];
    return x;
}

/* The angle at atom 1, or its cosine. */
static __device__ float angle_feature(const float3 r[4], float3 gradient[4], int cosine) {
    const float3 a = r[0] - r[1], b = r[2] - r[1], n = cross(a, b);
    const float inverse_a = rsqrtf(dot(a, a)), inverse_b = rsqrtf(dot(b, b));
    const float3 u = inverse_a * a, v = inverse_b * b;
    const float c = dot(u, v), s = sqrtf(dot(n, n)) * inverse_a * inverse_b;
    gradient[0] = inverse_a * (v - c * u);
    gradient[2] = inverse_b * (u - c * v);
    if (!cosine) {
        gradient[0] = (-1.0f / s) * gradient[0];
        gradient[2] = (-1.0f / s) * gradient[2];
    }
    gradient[1] = -1.0f * (gradient[0] + gradient[2]);
    return cosine ? c : atan2f(s, c);
}

static __device__ float torsion_feature(const float3 r[4], float3 gradient[4]) {
    const float3 f = r[0] - r[1], g = r[1] - r[2], h = r[3] - r[2];
    const float3 a = cross(f, g), b = cross(h, g);
    const float length = sqrtf(dot(g, g));
    const float x = atan2f(dot(cross(b, a), g), length * dot(a, b));
    /* bounded, so that fade() multiplies its zero on a line with a number */
    const float3 a2 = (1.0f / fmaxf(dot(a, a), 1e-12f)) * a, b2 = (1.0f / fmaxf(dot(b, b), 1e-12f)) * b;
    const float3 s = (dot(f, g) / length) * a2 - (dot(h, g) / length) * b2;
    gradient[0] = -length * a2;
    gradient[1] = length * a2 + s;
    gradient[2] = -length * b2 - s;
    gradient[3] = length * b2;
    return x;
}

static __device__ float feature(int kind, const float3 r[4], float3 gradient[4]) {
    const float pi = 3.14159265358979f;
    float x;
    switch (kind) {
    case FRX_FEATURE_DISTANCE:
        return distance_feature(r, gradient);
    case FRX_FEATURE_ANGLE_COS:
        return angle_feature(r, gradient, 1);
    case FRX_FEATURE_ANGLE:
        return angle_feature(r, gradient, 0);
    case FRX_FEATURE_TORSION:
        return torsion_feature(r, gradient);
    case FRX_FEATURE_TORSION_SHIFTED:
        x = torsion_feature(r, gradient);
        return x < 0 ? x + pi : x - pi;
    default: /* FRX_FEATURE_RADIUS_SQUARED */
        gradient[0] = 2.0f * r[0];
        return dot(r[0], r[0]);
    }
}

/* ---- forms: V and dV/dx ---- */

/* v0 + sum_{m=1..n} k_m x^m by Horner's rule, with its derivative. p: v0, k1, .., kn. */
static __device__ float polynomial(const float *p, int n, float x, float *slope) {
    float v = 0, d = 0;
    for (int m = n; m >= 0; m--) {
        d = d * x + v;
        v = v * x + p[m];
    }
    *slope = d;
    return v;
}

static __device__ float form(int kind, const float *p, int n_param, float x, float *slope) {
    float v;
    switch (kind) {
    case FRX_FORM_HARMONIC: {
        const float d = x - p[1];
        *slope = 2.0f * p[0] * d;
        return p[0] * d * d;
    }
    case FRX_FORM_POLYNOMIAL:
        return polynomial(p, n_param - 1, x, slope);
    case FRX_FORM_RESTRICTED: {
        const float inverse = 1.0f / ((1.0f - x) * (1.0f + x));
        v = polynomial(p + 1, n_param - 2, x, slope);
        *slope += 2.0f * p[0] * x * inverse * inverse;
        return v + p[0] * inverse;
    }
    case FRX_FORM_FOURIER:
        v = p[0];
        *slope = 0;
        for (int m = 1; 2 * m < n_param; m++) {
            float s, c;
            sincosf((float)m * x, &s, &c);
            v += p[2 * m - 1] * s + p[2 * m] * c;
            *slope += (float)m * (p[2 * m - 1] * c - p[2 * m] * s);
        }
        return v;
    default: { /* FRX_FORM_GAUSSIAN; repulsion has its own kernel */
        const float d = x - p[1], inverse = 1.0f / (p[2] * p[2]);
        v = -p[0] * expf(-0.5f * d * d * inverse);
        *slope = -d * inverse * v;
        return v;
    }
    }
}

/* ---- torsions near a line (FRX_STRAIGHT_SINE in system.h) ---- */

/* S of the angle at r[1], and dS/dr of its three beads. Exactly 1 and 0 where the angle is not nearly
 * straight. */
static __device__ float straightness(const float3 r[3], float3 gradient[3]) {
    const float3 a = r[0] - r[1], b = r[2] - r[1], n = cross(a, b);
    const float inverse_a2 = 1.0f / dot(a, a), inverse_b2 = 1.0f / dot(b, b);
    const float d2 = (float)(FRX_STRAIGHT_SINE * FRX_STRAIGHT_SINE);
    const float u = dot(n, n) * inverse_a2 * inverse_b2 / d2;
    if (u >= 1.0f) return 1.0f;
    const float c = angle_feature(r, gradient, 1), slope = 6.0f * u * (1.0f - u) * -2.0f * c / d2;
    for (int k = 0; k < 3; k++) gradient[k] = slope * gradient[k];
    return u * u * (3.0f - 2.0f * u);
}

/* Fade V - level out: scales the slope of V and V, returns the faded V; extra: -dE/dr of the fading. */
static __device__ float fade(const float3 r[4], float level, float v, float *slope, float3 extra[4]) {
    float3 first[3] = {}, second[3] = {};
    const float s = straightness(r, first), t = straightness(r + 1, second);
    if (s == 1.0f && t == 1.0f) return v;
    for (int k = 0; k < 3; k++) extra[k] = (level - v) * t * first[k];
    for (int k = 0; k < 3; k++) extra[k + 1] = extra[k + 1] + (level - v) * s * second[k];
    *slope *= s * t;
    return level + s * t * (v - level);
}

/* ---- terms and beads of one replica; x_r [n_bead][3] ---- */

/* Forces of term t into place_force [n_place][3]; returns its energy. */
static __device__ __forceinline__ float prior_term(const struct frx_gpu_prior &prior, int t, const float *x_r,
                                                   float *place_force) {
    const struct frx_gpu_term term = prior.term[t];
    float3 atom[4], gradient[4];
    for (int k = 0; k < 4; k++)
        if (k < term.order) atom[k] = load3(x_r, (size_t)term.atom[k]);
    const float x = feature(term.feature, atom, gradient);
    float slope;
    const float *param = prior.param + term.param;
    float v = form(term.form, param, term.n_param, x, &slope);
    float3 extra[4] = {};
    if (term.order == 4) v = fade(atom, term.form == FRX_FORM_FOURIER ? param[0] : 0.0f, v, &slope, extra);
    for (int k = 0; k < 4; k++)
        if (k < term.order) store3(place_force, (size_t)term.place[k], extra[k] - slope * gradient[k]);
    return v;
}

/* Force on bead i, by a whole warp, whose lanes all get it: its places, then its repulsion partners. The half
 * of every repulsion energy goes to row_energy [n_repulsion][n_bead], if that is wanted (not NULL). */
static __device__ __forceinline__ float3 prior_bead(const struct frx_gpu_prior &prior, int i,
                                                    const float *x_r, const float *place_force,
                                                    float *row_energy) {
    const int lane = threadIdx.x % 32;
    const float3 x_i = load3(x_r, (size_t)i);
    float3 force = make_float3(0, 0, 0);
    for (int k = prior.place_begin[i] + lane; k < prior.place_begin[i + 1]; k += 32)
        force = force + load3(place_force, (size_t)k);
    for (int q = 0; q < prior.n_repulsion; q++) {
        const int64_t *row = prior.row_begin + (size_t)q * prior.n_bead + i;
        float energy = 0;
        for (int64_t k = row[0] + lane; k < row[1]; k += 32) {
            const struct frx_gpu_partner partner = prior.partner[k];
            const float3 d = x_i - load3(x_r, (size_t)partner.bead);
            const float inverse2 = 1.0f / dot(d, d);
            const float v = partner.sigma6 * inverse2 * inverse2 * inverse2;
            force = force + (6.0f * v * inverse2) * d;
            energy += v;
        }
        if (!row_energy) continue;
        energy = warp_sum(energy);
        if (lane == 0) row_energy[(size_t)q * prior.n_bead + i] = 0.5f * energy;
    }
    return make_float3(warp_sum(force.x), warp_sum(force.y), warp_sum(force.z));
}

#endif
