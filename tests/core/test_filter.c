/* The filter network's derivative against differences of its value, and the tables against the network, for
 * every combination of basis, envelope and cutoffs that the file format allows; with the kinks that they
 * have. */
#include "check.h"
#include "filter_net.h"
#include "filter_table.h"
#include "make_system.h"

#include <stdlib.h>
#include <string.h>

#define N_FILTER 20 /* of the default model */

static const struct frx_envelope envelopes[] = {
    {FRX_ENVELOPE_COSINE, 0, 10},           {FRX_ENVELOPE_COSINE, 3, 10},
    {FRX_ENVELOPE_SHIFTED_COSINE, 8.3, 10}, {FRX_ENVELOPE_SHIFTED_COSINE, 0, 9},
    {FRX_ENVELOPE_IDENTITY, 0, 10},
};
enum { N_ENVELOPE = sizeof envelopes / sizeof envelopes[0] };

static void eval(const struct frx_network *net, int l, double r, double *w, double *dw) {
    double *scratch = malloc(frx_filter_net_scratch(net) * sizeof *scratch);
    frx_filter_net_eval(net, l, 1, &r, scratch, w, dw);
    free(scratch);
}

static int near_kink(const struct frx_network *net, double r, double reach) {
    const double kink[] = {net->envelope.r_lo, net->envelope.r_hi, net->basis.envelope.r_lo,
                           net->basis.envelope.r_hi};
    for (int k = 0; k < 4; k++)
        if (fabs(r - kink[k]) < reach) return 1;
    return 0;
}

/* dW/dr against fourth-order central differences. */
static void derivative(const struct frx_network *net) {
    const double h = 1e-3;
    for (double r = 0.05; r < 10.5; r += 0.0371) {
        if (near_kink(net, r, 2.1 * h)) continue;
        double w[5][N_FILTER], dw[5][N_FILTER], largest = 0;
        for (int k = 0; k < 5; k++) eval(net, 1, r + (k - 2) * h, w[k], dw[k]);
        for (int c = 0; c < N_FILTER; c++) largest = fmax(largest, fabs(dw[2][c]));
        for (int c = 0; c < N_FILTER; c++) {
            const double difference = (w[0][c] - 8 * w[1][c] + 8 * w[3][c] - w[4][c]) / (12 * h);
            CHECK(fabs(difference - dw[2][c]) <= 1e-7 * largest + 1e-8, "r %g: dW/dr %g, differences %g", r,
                  dw[2][c], difference);
        }
    }
}

/* Many distances at once, with and without slopes, give what one gives. */
static void blocks(const struct frx_network *net) {
    enum { n = 45 }; /* one whole block and a piece */
    double r[n], w[n][N_FILTER], dw[n][N_FILTER], w_only[n][N_FILTER];
    double *scratch = malloc(frx_filter_net_scratch(net) * sizeof *scratch);
    for (int k = 0; k < n; k++) r[k] = 1 + 0.2 * k;
    frx_filter_net_eval(net, 0, n, r, scratch, w[0], dw[0]);
    frx_filter_net_eval(net, 0, n, r, scratch, w_only[0], NULL);
    for (int k = 0; k < n; k++) {
        double one[N_FILTER], slope[N_FILTER];
        frx_filter_net_eval(net, 0, 1, &r[k], scratch, one, slope);
        CHECK(memcmp(one, w[k], sizeof one) == 0 && memcmp(slope, dw[k], sizeof slope) == 0, "distance %d",
              k);
        CHECK(memcmp(one, w_only[k], sizeof one) == 0, "distance %d without slope", k);
    }
    free(scratch);
}

/* The table meets its tolerance at points that its own measurement did not use, is continuous in value and
 * slope, and its float weights say the same. */
static void table_error(const struct frx_network *net, double tolerance) {
    struct frx_filter_table table;
    CHECK_OK(frx_filter_table_create(net, tolerance, &table));
    CHECK(table.error_value <= tolerance && table.error_slope <= tolerance, "reported %g, %g",
          table.error_value, table.error_slope);
    CHECK(table.error_slope > tolerance * 1e-3, "the table is not absurdly fine: %g with %d rows",
          table.error_slope, table.grid.n_row);
    for (int l = 0; l < net->n_interaction; l++) {
        double max_w[FRX_FILTER_MAX_SEGMENT] = {0}, max_dw[FRX_FILTER_MAX_SEGMENT] = {0};
        double error_w[FRX_FILTER_MAX_SEGMENT] = {0}, error_dw[FRX_FILTER_MAX_SEGMENT] = {0};
        double largest_w = 0, largest_dw = 0, error_float = 0;
        for (double r = 1e-4; r < 10.2; r += 0.00713) {
            double w[N_FILTER], dw[N_FILTER], tw[N_FILTER], tdw[N_FILTER];
            eval(net, l, r, w, dw);
            frx_filter_table_eval(&table, l, r, tw, tdw);
            const int inside = r >= table.grid.r_lo && r < table.grid.r_hi;
            float weight[4] = {0}, d_weight[4] = {0};
            const int row = inside ? frx_filter_locate(&table.grid, (float)r, weight, d_weight) : 0;
            CHECK(row >= 0 && row + 4 <= table.grid.n_row, "row %d of %d", row, table.grid.n_row);
            int s = 0;
            while (s + 1 < table.grid.n_segment && r >= table.grid.segment[s + 1].r_start) s++;
            for (int c = 0; c < N_FILTER; c++) {
                max_w[s] = fmax(max_w[s], fabs(w[c]));
                max_dw[s] = fmax(max_dw[s], fabs(dw[c]));
                error_w[s] = fmax(error_w[s], fabs(w[c] - tw[c]));
                error_dw[s] = fmax(error_dw[s], fabs(dw[c] - tdw[c]));
                double sum = 0, d_sum = 0;
                for (int k = 0; k < 4; k++) {
                    const double x =
                        table.coefficient[((size_t)l * table.grid.n_row + row + k) * N_FILTER + c];
                    sum += (double)weight[k] * x;
                    d_sum += (double)d_weight[k] * x;
                }
                error_float = fmax(error_float, fabs(sum - tw[c]));
                error_float = fmax(error_float, 0.1 * fabs(d_sum - tdw[c]));
            }
        }
        for (int s = 0; s < table.grid.n_segment; s++) {
            largest_w = fmax(largest_w, max_w[s]);
            largest_dw = fmax(largest_dw, max_dw[s]);
        }
        for (int s = 0; s < table.grid.n_segment; s++) {
            const double unit_w = fmax(max_w[s], FRX_FILTER_LEAST_UNIT * largest_w);
            const double unit_dw = fmax(max_dw[s], FRX_FILTER_LEAST_UNIT * largest_dw);
            CHECK(error_w[s] <= 1.05 * tolerance * unit_w, "value off by %g of %g", error_w[s], unit_w);
            CHECK(error_dw[s] <= 1.05 * tolerance * unit_dw, "slope off by %g of %g", error_dw[s], unit_dw);
        }
        CHECK(error_float <= 1e-5 * largest_w, "float weights off by %g of %g", error_float, largest_w);
    }
    for (int s = 1; s < table.grid.n_segment; s++) {
        const double at = table.grid.segment[s].r_start;
        double below[N_FILTER], above[N_FILTER], d_below[N_FILTER], d_above[N_FILTER];
        frx_filter_table_eval(&table, 0, nextafter(at, 0), below, d_below);
        frx_filter_table_eval(&table, 0, at, above, d_above);
        for (int c = 0; c < N_FILTER; c++) {
            CHECK_NEAR(below[c], above[c], 1e-7);
            CHECK_NEAR(d_below[c], d_above[c], 2e-6);
        }
    }
    frx_filter_table_clear(&table);
}

static void bad_tolerance(const struct frx_network *net) {
    struct frx_filter_table table;
    CHECK_FAILS(frx_filter_table_create(net, 0, &table), FRX_ERR_ARGUMENT, "tolerance");
    CHECK_FAILS(frx_filter_table_create(net, NAN, &table), FRX_ERR_ARGUMENT, "tolerance");
    CHECK_FAILS(frx_filter_table_create(net, 1e-15, &table), FRX_ERR_MODEL, "misses its tolerance of 1e-15");
    CHECK(!table.coefficient, "nothing is left after a failure");
}

int main(void) {
    for (int b = 0; b < N_ENVELOPE; b++)
        for (int f = 0; f < N_ENVELOPE; f++)
            for (int transform = 0; transform < 2; transform++) {
                if (b != f && transform != (b + f) % 2) continue; /* half of the pairs each */
                struct frx_test_model model = frx_test_model_default();
                model.basis_envelope = envelopes[b];
                model.envelope = envelopes[f];
                model.transform = (enum frx_basis_transform)transform;
                model.n_filter_layer = 1 + (b + f) % 3;
                model.bias = f % 2;
                model.priors = FRX_TEST_PRIORS_NONE;
                struct frx_system system;
                frx_test_system_make(&model, &system);
                derivative(system.network);
                table_error(system.network, f == b ? 1e-6 : 1e-4);
                if (b == 0 && f == 0) {
                    blocks(system.network);
                    bad_tolerance(system.network);
                }
                frx_system_clear(&system);
                if (frx_check_failures) {
                    fprintf(stderr, "basis envelope %d, envelope %d, transform %d\n", b, f, transform);
                    return frx_check_result();
                }
            }
    return frx_check_result();
}
