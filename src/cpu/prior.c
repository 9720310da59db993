#include "prior.h"

#include <math.h>
#include <stddef.h>

/* mlcg shifts torsions by pi in single precision (docs/formats.md) */
#define TORSION_SHIFT 3.1415927410125732

/* All limits below are written `x < limit ? limit : x`, which lets NaN through: a broken configuration must
 * stay visible. */

static void subtract(const double *a, const double *b, double *c) {
    for (int k = 0; k < 3; k++) c[k] = a[k] - b[k];
}

static double dot(const double *a, const double *b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static void cross(const double *a, const double *b, double *c) {
    c[0] = a[1] * b[2] - a[2] * b[1];
    c[1] = a[2] * b[0] - a[0] * b[2];
    c[2] = a[0] * b[1] - a[1] * b[0];
}

/* ---- features: x, and dx/dr of every atom into gradient [order][3] ---- */

static double distance(const double *const r[], double gradient[][3]) {
    double d[3];
    subtract(r[1], r[0], d);
    const double x = sqrt(dot(d, d));
    for (int k = 0; k < 3; k++) {
        gradient[1][k] = d[k] / x;
        gradient[0][k] = -gradient[1][k];
    }
    return x;
}

static double angle_cos(const double *const r[], double gradient[][3]) {
    double a[3], b[3];
    subtract(r[0], r[1], a);
    subtract(r[2], r[1], b);
    const double la = sqrt(dot(a, a)), lb = sqrt(dot(b, b)), x = dot(a, b) / (la * lb);
    for (int k = 0; k < 3; k++) {
        gradient[0][k] = (b[k] / lb - x * a[k] / la) / la;
        gradient[2][k] = (a[k] / la - x * b[k] / lb) / lb;
        gradient[1][k] = -gradient[0][k] - gradient[2][k];
    }
    return x;
}

static double angle(const double *const r[], double gradient[][3]) {
    double a[3], b[3], normal[3];
    const double c = angle_cos(r, gradient);
    subtract(r[0], r[1], a);
    subtract(r[2], r[1], b);
    cross(a, b, normal);
    const double twice_area = sqrt(dot(normal, normal)), scale = sqrt(dot(a, a) * dot(b, b));
    /* d(angle) = -d(cos)/sin. On a straight line both vanish and the angle has no derivative (a cusp); with
     * sin kept above zero the result is zero there instead of NaN and unchanged elsewhere. */
    const double s = twice_area / scale, sine = s < 1e-8 ? 1e-8 : s;
    for (int a_ = 0; a_ < 3; a_++)
        for (int k = 0; k < 3; k++) gradient[a_][k] /= -sine;
    return atan2(twice_area, c * scale); /* exact near 0 and pi, where acos is not */
}

/* Blondel and Karplus, J. Comput. Chem. 17, 1132 (1996). */
static double torsion(const double *const r[], double gradient[][3]) {
    double b1[3], b2[3], b3[3], m[3], n[3];
    subtract(r[1], r[0], b1);
    subtract(r[2], r[1], b2);
    subtract(r[3], r[2], b3);
    cross(b1, b2, m);
    cross(b2, b3, n);
    const double l2 = dot(b2, b2), l = sqrt(l2);
    /* On a line the derivative is unbounded; fade() takes the term out before, the limit keeps 0 * inf away.
     */
    const double area_m = dot(m, m), area_n = dot(n, n), least = 1e-12;
    const double m2 = area_m < least ? least : area_m, n2 = area_n < least ? least : area_n;
    const double along1 = dot(b1, b2) / l2, along3 = dot(b3, b2) / l2;
    for (int k = 0; k < 3; k++) {
        const double g0 = -l / m2 * m[k], g3 = l / n2 * n[k];
        gradient[0][k] = g0;
        gradient[1][k] = -(1 + along1) * g0 + along3 * g3;
        gradient[2][k] = along1 * g0 - (1 + along3) * g3;
        gradient[3][k] = g3;
    }
    return atan2(l * dot(b1, n), dot(m, n));
}

static double eval_feature(enum frx_feature feature, const double *const r[], double gradient[][3]) {
    switch (feature) {
    case FRX_FEATURE_DISTANCE:
        return distance(r, gradient);
    case FRX_FEATURE_ANGLE_COS:
        return angle_cos(r, gradient);
    case FRX_FEATURE_ANGLE:
        return angle(r, gradient);
    case FRX_FEATURE_TORSION:
        return torsion(r, gradient);
    case FRX_FEATURE_TORSION_SHIFTED: {
        const double x = torsion(r, gradient);
        return x < 0 ? x + TORSION_SHIFT : x - TORSION_SHIFT;
    }
    case FRX_FEATURE_RADIUS_SQUARED:
        for (int k = 0; k < 3; k++) gradient[0][k] = 2 * r[0][k];
        return dot(r[0], r[0]);
    case FRX_N_FEATURE:
        break;
    }
    return NAN;
}

/* ---- forms: V and V' ---- */

/* p[0] + p[1] x + .. + p[n-1] x^(n-1) */
static double polynomial(int n, const double *p, double x, double *slope) {
    double v = 0, dv = 0;
    for (int m = n - 1; m >= 0; m--) {
        dv = dv * x + v;
        v = v * x + p[m];
    }
    *slope = dv;
    return v;
}

static double fourier(int n, const double *p, double x, double *slope) {
    const double s1 = sin(x), c1 = cos(x);
    double s = 0, c = 1, v = p[0], dv = 0;
    for (int m = 1; 2 * m < n; m++) {
        const double s_next = s * c1 + c * s1; /* sin(m x), cos(m x) from those of (m - 1) x */
        c = c * c1 - s * s1;
        s = s_next;
        v += p[2 * m - 1] * s + p[2 * m] * c;
        dv += m * (p[2 * m - 1] * c - p[2 * m] * s);
    }
    *slope = dv;
    return v;
}

static double eval_form(enum frx_form form, int n, const double *p, double x, double *slope) {
    switch (form) {
    case FRX_FORM_HARMONIC:
        *slope = 2 * p[0] * (x - p[1]);
        return p[0] * (x - p[1]) * (x - p[1]);
    case FRX_FORM_POLYNOMIAL:
        return polynomial(n, p, x, slope);
    case FRX_FORM_RESTRICTED: {
        double v = polynomial(n - 1, p + 1, x, slope);
        /* the wall at x = +-1 is infinite; rounding must not put a configuration behind it */
        const double s2 = 1 - x * x, sine2 = s2 < 1e-12 ? 1e-12 : s2;
        *slope += 2 * p[0] * x / (sine2 * sine2);
        return v + p[0] / sine2;
    }
    case FRX_FORM_FOURIER:
        return fourier(n, p, x, slope);
    case FRX_FORM_REPULSION: {
        const double q = p[0] / x, v = q * q * q * q * q * q;
        *slope = -6 * v / x;
        return v;
    }
    case FRX_FORM_GAUSSIAN: {
        const double u = (x - p[1]) / p[2], v = -p[0] * exp(-0.5 * u * u);
        *slope = -v * u / p[2];
        return v;
    }
    case FRX_N_FORM:
        break;
    }
    return *slope = NAN;
}

/* ---- torsions near a line (FRX_STRAIGHT_SINE in system.h) ---- */

/* S of the angle at r[1], and dS/dr of its three beads. Exactly 1 and 0 where the angle is not nearly
 * straight. */
static double straightness(const double *const r[], double gradient[][3]) {
    const double c = angle_cos(r, gradient), d2 = FRX_STRAIGHT_SINE * FRX_STRAIGHT_SINE, u = (1 - c * c) / d2;
    const double slope = u >= 1 ? 0 : 6 * u * (1 - u) * -2 * c / d2; /* dS/dcos */
    for (int a = 0; a < 3; a++)
        for (int k = 0; k < 3; k++) gradient[a][k] *= slope;
    return u >= 1 ? 1 : u * u * (3 - 2 * u);
}

/* Fade a torsion's V - level out where three of its beads are nearly on a line: scales *slope and V, and adds
 * what follows from the derivative of the fading to the forces. Returns the faded V. */
static double fade(const struct frx_prior *prior, const double *params, const int32_t *atoms,
                   const double *const r[], double v, double *slope, double *forces) {
    double gradient[2][3][3];
    const double level = prior->form == FRX_FORM_FOURIER ? params[0] : 0;
    const double s[2] = {straightness(r, gradient[0]), straightness(r + 1, gradient[1])};
    if (s[0] == 1 && s[1] == 1) return v; /* to the bit */
    for (int angle = 0; angle < 2; angle++)
        for (int a = 0; a < 3; a++)
            for (int k = 0; k < 3; k++)
                forces[3 * (size_t)atoms[angle + a] + k] -=
                    (v - level) * s[1 - angle] * gradient[angle][a][k];
    *slope *= s[0] * s[1];
    return level + s[0] * s[1] * (v - level);
}

/* ---- sums over terms ---- */

/* The repulsion of five-bead models acts between nearly all pairs, so it gets a loop without square root. */
static double eval_repulsion(const struct frx_prior *prior, const double *x, double *f) {
    double energy = 0;
    for (int t = 0; t < prior->n_term; t++) {
        const size_t i = 3 * (size_t)prior->atoms[2 * t], j = 3 * (size_t)prior->atoms[2 * t + 1];
        const double sigma = prior->params[t];
        const double d0 = x[i] - x[j], d1 = x[i + 1] - x[j + 1], d2 = x[i + 2] - x[j + 2];
        const double inverse = 1 / (d0 * d0 + d1 * d1 + d2 * d2);
        const double q = sigma * sigma * inverse, v = q * q * q, push = 6 * v * inverse;
        energy += v;
        f[i] += push * d0;
        f[i + 1] += push * d1;
        f[i + 2] += push * d2;
        f[j] -= push * d0;
        f[j + 1] -= push * d1;
        f[j + 2] -= push * d2;
    }
    return energy;
}

double frx_prior_eval(const struct frx_prior *prior, const double *positions, double *forces) {
    if (prior->feature == FRX_FEATURE_DISTANCE && prior->form == FRX_FORM_REPULSION)
        return eval_repulsion(prior, positions, forces);
    double energy = 0;
    for (int t = 0; t < prior->n_term; t++) {
        const int32_t *atoms = prior->atoms + (size_t)t * prior->order;
        const double *r[4] = {positions, positions, positions, positions};
        double gradient[4][3] = {{0}}, slope;
        for (int a = 0; a < prior->order; a++) r[a] = positions + 3 * (size_t)atoms[a];
        const double *params = prior->params + (size_t)t * prior->n_param;
        const double x = eval_feature(prior->feature, r, gradient);
        double v = eval_form(prior->form, prior->n_param, params, x, &slope);
        if (prior->feature == FRX_FEATURE_TORSION || prior->feature == FRX_FEATURE_TORSION_SHIFTED)
            v = fade(prior, params, atoms, r, v, &slope, forces);
        energy += v;
        for (int a = 0; a < prior->order; a++)
            for (int k = 0; k < 3; k++) forces[3 * (size_t)atoms[a] + k] -= slope * gradient[a][k];
    }
    return energy;
}
