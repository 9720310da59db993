#include "filter_table.h"

#include "filter_net.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Distances handed to the network at a time: one of its blocks. */
enum { N_BATCH = 32 };

/* One segment under construction. */
struct piece {
    double lo, hi; /* Angstrom, between two kinks */
    struct frx_filter_segment segment;
    double *coefficient; /* [n_interaction][n_interval + 3][n_filter] */
    double error_value, error_slope;
};

/* The network and the work space that goes with it. */
struct builder {
    const struct frx_network *network;
    double *scratch;                   /* of frx_filter_net_eval */
    double *value, *slope;             /* [N_BATCH][n_filter] of the network */
    double *table_value, *table_slope; /* [n_filter] of the spline */
    double *max_value, *max_slope;     /* [n_interaction] largest |W|, |W'| over all r and channels */
};

/* W and W' at n <= N_BATCH distances, into builder->value and slope. Knots lie on float positions and so may
 * miss the segment by a rounding error; there the segment's own side of the kink is continued as a straight
 * line. */
static void sample(const struct builder *builder, const struct piece *piece, int l, int n, const double *r) {
    const double margin = 1e-12 * (piece->hi - piece->lo);
    const int n_filter = builder->network->n_filter;
    double inside[N_BATCH] = {0};
    for (int k = 0; k < n; k++) inside[k] = fmin(fmax(r[k], piece->lo + margin), piece->hi - margin);
    frx_filter_net_eval(builder->network, l, n, inside, builder->scratch, builder->value, builder->slope);
    for (int k = 0; k < n; k++)
        for (int c = 0; c < n_filter; c++)
            builder->value[k * n_filter + c] += builder->slope[k * n_filter + c] * (r[k] - inside[k]);
}

static double knot_position(const struct frx_filter_segment *segment, double k) {
    return (double)segment->r_start + k / (double)segment->density;
}

/* ---- kinks ---- */

static void add_kink(double *kink, int *n, double r) {
    int at = *n;
    for (int k = 0; k < *n; k++)
        if (fabs(kink[k] - r) < 1e-6 * (kink[1] - kink[0])) return; /* the same point, or an end */
    while (at > 0 && kink[at - 1] > r) at--;
    memmove(kink + at + 1, kink + at, (size_t)(*n - at) * sizeof *kink);
    kink[at] = r;
    (*n)++;
}

/* Exponential bases resolve short distances much more finely than long ones: cuts at these fractions of the
 * domain let every part have its own density of knots (a quarter of the rows for 64 functions to 15 A). */
enum { N_CUT = 4 };
static const double cut[N_CUT] = {1.0 / 16, 1.0 / 8, 1.0 / 4, 1.0 / 2};

/* Ends of the domain and, between them, every cut and every point where the curvature of an envelope jumps. A
 * cosine ends at r_hi with zero slope but not with zero curvature, and starts like that at r_lo. */
static int find_kinks(const struct frx_network *network, double kink[FRX_FILTER_MAX_SEGMENT + 1]) {
    const struct frx_envelope *filter = &network->envelope, *basis = &network->basis.envelope;
    int n = 2;
    kink[0] = filter->kind == FRX_ENVELOPE_COSINE ? filter->r_lo : 0;
    kink[1] = filter->r_hi < network->r_cut ? filter->r_hi : network->r_cut;
    const double inner[3] = {filter->r_lo, basis->r_lo, basis->r_hi};
    const int is_kink[3] = {filter->kind == FRX_ENVELOPE_SHIFTED_COSINE, basis->kind != FRX_ENVELOPE_IDENTITY,
                            basis->kind != FRX_ENVELOPE_IDENTITY};
    const double lo = kink[0], hi = kink[1];
    for (int k = 0; k < 3; k++)
        if (is_kink[k] && inner[k] > lo && inner[k] < hi) add_kink(kink, &n, inner[k]);
    for (int k = 0; k < N_CUT; k++) add_kink(kink, &n, lo + (hi - lo) * cut[k]);
    return n;
}

/* ---- one segment ---- */

/* Coefficients of the spline that takes the network's values at all knots and its slopes at both ends:
 * c[k-1] + 4 c[k] + c[k+1] = 6 f[k], c[n+1] - c[n-1] = 2 h f'[n], likewise at 0; Thomas' algorithm. */
static void interpolate(const struct builder *builder, const struct piece *piece, int l, double *pivot) {
    const int n = piece->segment.n_interval, n_filter = builder->network->n_filter;
    const double h = 1 / (double)piece->segment.density;
    double *row = piece->coefficient + (size_t)l * (n + 3) * n_filter; /* row[(k + 1)] belongs to knot k */
#define ROW(k) (row + (size_t)((k) + 1) * n_filter)
    for (int k = 0; k <= n; k++) {
        const int b = k % N_BATCH;
        if (b == 0) {
            double r[N_BATCH];
            for (int p = 0; p < N_BATCH; p++) r[p] = knot_position(&piece->segment, k + p);
            sample(builder, piece, l, n + 1 - k < N_BATCH ? n + 1 - k : N_BATCH, r);
        }
        const double *value = builder->value + b * n_filter, *slope = builder->slope + b * n_filter;
        const int edge = k == 0 ? 1 : k == n ? -1 : 0; /* end conditions, eliminated from c[-1], c[n+1] */
        for (int c = 0; c < n_filter; c++) {
            ROW(k)[c] = 6 * value[c] + edge * 2 * h * slope[c];
            if (k == 0) ROW(-1)[c] = -2 * h * slope[c];
            if (k == n) ROW(n + 1)[c] = 2 * h * slope[c];
        }
    }
    pivot[0] = 4;
    for (int k = 1; k <= n; k++) {
        const double lower = k == n ? 2 : 1, factor = lower / pivot[k - 1];
        pivot[k] = 4 - factor * (k == 1 ? 2 : 1);
        for (int c = 0; c < n_filter; c++) ROW(k)[c] -= factor * ROW(k - 1)[c];
    }
    for (int k = n; k >= 0; k--) {
        const double upper = k == 0 ? 2 : 1;
        for (int c = 0; c < n_filter; c++)
            ROW(k)[c] = (ROW(k)[c] - (k < n ? upper * ROW(k + 1)[c] : 0)) / pivot[k];
    }
    for (int c = 0; c < n_filter; c++) {
        ROW(-1)[c] += ROW(1)[c];
        ROW(n + 1)[c] += ROW(n - 1)[c];
    }
#undef ROW
}

/* The spline at interval k, fraction t, in double. row: first of the four. */
static void eval_spline(const double *row, int n_filter, double density, double t, double *value,
                        double *slope) {
    const double q = 1 - t, half = 0.5 * density;
    const double w[4] = {q * q * q / 6, (0.5 * t - 1) * t * t + 2.0 / 3, (0.5 * q - 1) * q * q + 2.0 / 3,
                         t * t * t / 6};
    const double dw[4] = {-half * q * q, half * t * (3 * t - 4), -half * q * (3 * q - 4), half * t * t};
    for (int c = 0; c < n_filter; c++) {
        value[c] = slope[c] = 0;
        for (int k = 0; k < 4; k++) {
            value[c] += w[k] * row[(size_t)k * n_filter + c];
            slope[c] += dw[k] * row[(size_t)k * n_filter + c];
        }
    }
}

static void measure_error(const struct builder *builder, struct piece *piece, int l) {
    /* The slope of an interpolating cubic is worst at (3 -+ sqrt 3)/6 of an interval, its value in the
     * middle. */
    static const double fraction[3] = {0.21132486540518713, 0.5, 0.78867513459481287};
    const int n = piece->segment.n_interval, n_filter = builder->network->n_filter;
    const double *row = piece->coefficient + (size_t)l * (n + 3) * n_filter;
    double unit_value = FRX_FILTER_LEAST_UNIT * builder->max_value[l];
    double unit_slope = FRX_FILTER_LEAST_UNIT * builder->max_slope[l];
    double error_value = 0, error_slope = 0;
    for (int first = 0; first < 3 * n; first += N_BATCH) {
        const int n_batch = 3 * n - first < N_BATCH ? 3 * n - first : N_BATCH;
        double r[N_BATCH];
        for (int b = 0; b < n_batch; b++) {
            const int interval = (first + b) / 3;
            r[b] = knot_position(&piece->segment, interval + fraction[(first + b) % 3]);
        }
        sample(builder, piece, l, n_batch, r);
        for (int b = 0; b < n_batch; b++) {
            eval_spline(row + (size_t)((first + b) / 3) * n_filter, n_filter, piece->segment.density,
                        fraction[(first + b) % 3], builder->table_value, builder->table_slope);
            for (int c = 0; c < n_filter; c++) {
                const double value = builder->value[b * n_filter + c],
                             slope = builder->slope[b * n_filter + c];
                const double d_value = fabs(builder->table_value[c] - value);
                const double d_slope = fabs(builder->table_slope[c] - slope);
                unit_value = fmax(unit_value, fabs(value));
                unit_slope = fmax(unit_slope, fabs(slope));
                /* not a number counts as infinite, which no later point undoes */
                if (!(d_value <= error_value)) error_value = isnan(d_value) ? INFINITY : d_value;
                if (!(d_slope <= error_slope)) error_slope = isnan(d_slope) ? INFINITY : d_slope;
            }
        }
    }
    if (unit_value > 0) piece->error_value = fmax(piece->error_value, error_value / unit_value);
    if (unit_slope > 0) piece->error_slope = fmax(piece->error_slope, error_slope / unit_slope);
}

static enum frx_status build_piece(const struct builder *builder, struct piece *piece, int n) {
    const struct frx_network *network = builder->network;
    free(piece->coefficient);
    piece->coefficient = calloc((size_t)network->n_interaction * (n + 3) * network->n_filter, sizeof(double));
    double *pivot = calloc((size_t)n + 1, sizeof *pivot);
    if (!piece->coefficient || !pivot) {
        free(pivot);
        return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a filter table of %d intervals", n);
    }
    piece->segment.r_start = (float)piece->lo;
    piece->segment.density = (float)(n / (piece->hi - piece->lo));
    piece->segment.n_interval = n;
    piece->error_value = piece->error_slope = 0;
    for (int l = 0; l < network->n_interaction; l++) {
        interpolate(builder, piece, l, pivot);
        measure_error(builder, piece, l);
    }
    free(pivot);
    return FRX_OK;
}

/* Refine until the tolerance holds. The error falls as h^3, so the next guess is nearly the last. */
static enum frx_status refine_piece(const struct builder *builder, struct piece *piece, double tolerance) {
    int n = (int)ceil(4 * (piece->hi - piece->lo)) + 4;
    for (;;) {
        FRX_TRY(build_piece(builder, piece, n));
        const double error = fmax(piece->error_value, piece->error_slope);
        if (error <= tolerance) return FRX_OK;
        if (n == FRX_FILTER_MAX_INTERVAL || !isfinite(error))
            return FRX_FAIL(
                FRX_ERR_MODEL,
                "filter table from %g to %g A misses its tolerance of %g: relative error %.2g in the "
                "value and %.2g in the slope with %d intervals",
                piece->lo, piece->hi, tolerance, piece->error_value, piece->error_slope, n);
        const double growth = fmin(fmax(1.1 * cbrt(error / tolerance), 1.25), 4);
        n = (int)fmin(ceil(n * growth), FRX_FILTER_MAX_INTERVAL);
    }
}

/* ---- the whole table ---- */

static void measure_network(const struct builder *builder, const struct piece *piece) {
    enum { n_sample = 20 * N_BATCH };
    for (int l = 0; l < builder->network->n_interaction; l++)
        for (int first = 0; first < n_sample; first += N_BATCH) {
            double r[N_BATCH];
            for (int b = 0; b < N_BATCH; b++)
                r[b] = piece->lo + (first + b) * (piece->hi - piece->lo) / (n_sample - 1);
            sample(builder, piece, l, N_BATCH, r);
            for (int c = 0; c < N_BATCH * builder->network->n_filter; c++) {
                builder->max_value[l] = fmax(builder->max_value[l], fabs(builder->value[c]));
                builder->max_slope[l] = fmax(builder->max_slope[l], fabs(builder->slope[c]));
            }
        }
}

static enum frx_status join_pieces(const struct frx_network *network, int n_piece, struct piece *piece,
                                   struct frx_filter_table *table) {
    const size_t n_filter = (size_t)network->n_filter;
    struct frx_filter_grid *grid = &table->grid;
    grid->r_lo = (float)piece[0].lo;
    grid->r_hi = (float)piece[n_piece - 1].hi;
    grid->n_segment = n_piece;
    for (int p = 0; p < n_piece; p++) {
        piece[p].segment.first_row = grid->n_row;
        grid->segment[p] = piece[p].segment;
        grid->n_row += piece[p].segment.n_interval + 3;
        table->error_value = fmax(table->error_value, piece[p].error_value);
        table->error_slope = fmax(table->error_slope, piece[p].error_slope);
    }
    if (grid->n_row > FRX_FILTER_MAX_INTERVAL + 3 * n_piece)
        return FRX_FAIL(FRX_ERR_MODEL, "filter table needs %d rows, more than %d", grid->n_row,
                        FRX_FILTER_MAX_INTERVAL);
    table->n_interaction = network->n_interaction;
    table->n_filter = network->n_filter;
    table->coefficient = malloc((size_t)network->n_interaction * grid->n_row * n_filter * sizeof(double));
    if (!table->coefficient) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %d filter rows", grid->n_row);
    for (int l = 0; l < network->n_interaction; l++)
        for (int p = 0; p < n_piece; p++) {
            const size_t n = ((size_t)piece[p].segment.n_interval + 3) * n_filter;
            memcpy(table->coefficient + ((size_t)l * grid->n_row + piece[p].segment.first_row) * n_filter,
                   piece[p].coefficient + l * n, n * sizeof(double));
        }
    return FRX_OK;
}

static enum frx_status build_table(const struct builder *builder, double tolerance,
                                   struct frx_filter_table *table) {
    struct piece piece[FRX_FILTER_MAX_SEGMENT] = {0};
    double kink[FRX_FILTER_MAX_SEGMENT + 1];
    const int n_piece = find_kinks(builder->network, kink) - 1;
    for (int p = 0; p < n_piece; p++) {
        piece[p].lo = kink[p];
        piece[p].hi = kink[p + 1];
        measure_network(builder, &piece[p]);
    }
    enum frx_status status = FRX_OK;
    for (int p = 0; p < n_piece && status == FRX_OK; p++)
        status = refine_piece(builder, &piece[p], tolerance);
    if (status == FRX_OK) status = join_pieces(builder->network, n_piece, piece, table);
    for (int p = 0; p < n_piece; p++) free(piece[p].coefficient);
    return status;
}

enum frx_status frx_filter_table_create(const struct frx_network *network, double tolerance,
                                        struct frx_filter_table *table) {
    memset(table, 0, sizeof *table);
    if (!(tolerance > 0))
        return FRX_FAIL(FRX_ERR_ARGUMENT, "tolerance of the filter tables is %g", tolerance);
    const size_t n_filter = (size_t)network->n_filter, n_interaction = (size_t)network->n_interaction;
    const size_t n_scratch = frx_filter_net_scratch(network);
    double *work = calloc(n_scratch + (2 * N_BATCH + 2) * n_filter + 2 * n_interaction, sizeof *work);
    if (!work) return FRX_FAIL(FRX_ERR_MEMORY, "no memory to build filter tables");
    double *filter = work + n_scratch, *largest = filter + (2 * N_BATCH + 2) * n_filter;
    const struct builder builder = {.network = network,
                                    .scratch = work,
                                    .value = filter,
                                    .slope = filter + N_BATCH * n_filter,
                                    .table_value = filter + 2 * N_BATCH * n_filter,
                                    .table_slope = filter + (2 * N_BATCH + 1) * n_filter,
                                    .max_value = largest,
                                    .max_slope = largest + n_interaction};
    const enum frx_status status = build_table(&builder, tolerance, table);
    free(work);
    if (status != FRX_OK) frx_filter_table_clear(table);
    return status;
}

void frx_filter_table_clear(struct frx_filter_table *table) {
    if (!table) return;
    free(table->coefficient);
    memset(table, 0, sizeof *table);
}

void frx_filter_table_eval(const struct frx_filter_table *table, int l, double r, double *value,
                           double *slope) {
    const struct frx_filter_grid *grid = &table->grid;
    if (r < grid->r_lo || r >= grid->r_hi) {
        for (int c = 0; c < table->n_filter; c++) value[c] = slope[c] = 0;
        return;
    }
    int s = 0;
    while (s + 1 < grid->n_segment && r >= grid->segment[s + 1].r_start) s++;
    const struct frx_filter_segment *segment = &grid->segment[s];
    const double u = (r - (double)segment->r_start) * segment->density;
    int k = (int)u;
    if (k >= segment->n_interval) k = segment->n_interval - 1;
    const size_t row = (size_t)l * grid->n_row + segment->first_row + k;
    eval_spline(table->coefficient + row * table->n_filter, table->n_filter, segment->density, u - k, value,
                slope);
}
