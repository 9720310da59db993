/* Ladders: what is refused and in which words, geometric temperatures, and who holds which slot. */
#include "check.h"
#include "ladder.h"
#include "units.h"

#include <string.h>

static void refusals(void) {
    static const struct {
        int n_ladder, n_rung;
        double kelvin[3];
        const char *words;
    } cases[] = {
        {1, 3, {300, 350, 340}, "rung 1 has 350 K and rung 2 has 340 K"},
        {1, 3, {300, 300, 340}, "rung 0 has 300 K and rung 1 has 300 K"},
        {1, 3, {300, -1, 340}, "temperature -1 K of rung 1"},
        {1, 3, {0, 310, 340}, "temperature 0 K of rung 0"},
        {1, 3, {300, NAN, 340}, "nan K of rung 1"},
        {1, 3, {300, 310, INFINITY}, "inf K of rung 2"},
        {0, 3, {300, 310, 320}, "0 ladders of 3 rungs"},
        {1, 0, {300, 310, 320}, "1 ladders of 0 rungs"},
    };
    struct frx_ladder ladder;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_FAILS(frx_ladder_create_kelvin(cases[i].n_ladder, cases[i].n_rung, cases[i].kelvin, &ladder),
                    FRX_ERR_ARGUMENT, cases[i].words);
    CHECK_FAILS(frx_ladder_create(1, 2, (double[]){1.5, 1.6}, &ladder), FRX_ERR_ARGUMENT,
                "rung 0 has 1.5 and rung 1 has 1.6");
    CHECK_FAILS(frx_ladder_create(1, 2, (double[]){1.5, 1.5}, &ladder), FRX_ERR_ARGUMENT, "strictly");
    CHECK_FAILS(frx_ladder_create(1, 2, (double[]){NAN, 1.5}, &ladder), FRX_ERR_ARGUMENT, "rung 0");
    CHECK_FAILS(frx_ladder_create(1, 2, (double[]){1.5, 0}, &ladder), FRX_ERR_ARGUMENT, "beta 0 of rung 1");
}

static void betas(void) {
    struct frx_ladder ladder;
    CHECK_OK(frx_ladder_create_kelvin(3, 2, (double[]){300, 350}, &ladder));
    CHECK(frx_ladder_n_slot(&ladder) == 6, "%d slots", frx_ladder_n_slot(&ladder));
    CHECK_NEAR(ladder.beta[0], 1 / (FRX_BOLTZMANN * 300), 1e-15);
    CHECK_NEAR(ladder.beta[1], 1 / (FRX_BOLTZMANN * 350), 1e-15);
    frx_ladder_clear(&ladder);
}

static void geometric(void) {
    double kelvin[5];
    CHECK_OK(frx_ladder_geometric(300, 600, 5, kelvin));
    CHECK(kelvin[0] == 300 && kelvin[4] == 600, "exact ends: %.17g %.17g", kelvin[0], kelvin[4]);
    for (int k = 1; k < 5; k++) CHECK_NEAR(kelvin[k] / kelvin[k - 1], pow(2, 0.25), 1e-14);
    CHECK_OK(frx_ladder_geometric(300, 300, 1, kelvin));
    CHECK_OK(frx_ladder_geometric(300, 310, 2, kelvin));
    CHECK_FAILS(frx_ladder_geometric(300, 310, 1, kelvin), FRX_ERR_ARGUMENT, "one temperature");
    CHECK_FAILS(frx_ladder_geometric(310, 300, 4, kelvin), FRX_ERR_ARGUMENT, "from 310 K to 300 K");
    CHECK_FAILS(frx_ladder_geometric(0, 300, 4, kelvin), FRX_ERR_ARGUMENT, "0 K");
    CHECK_FAILS(frx_ladder_geometric(300, NAN, 4, kelvin), FRX_ERR_ARGUMENT, "nan");
    CHECK_FAILS(frx_ladder_geometric(300, 400, 0, kelvin), FRX_ERR_ARGUMENT, "0 rungs");
}

/* Blocks cover every slot once, in order, differ by one at most, and frx_rank_of_slot inverts them. */
static void distribution(void) {
    for (int n_slot = 1; n_slot <= 40; n_slot++)
        for (int n_rank = 1; n_rank <= n_slot; n_rank++) {
            int next = 0;
            for (int rank = 0; rank < n_rank; rank++) {
                int first = -1, n = -1;
                CHECK_OK(frx_slots_of_rank(n_slot, n_rank, rank, &first, &n));
                CHECK(first == next, "rank %d of %d starts at %d, expected %d", rank, n_rank, first, next);
                CHECK(n == n_slot / n_rank || n == n_slot / n_rank + 1, "%d slots", n);
                for (int slot = first; slot < first + n; slot++)
                    CHECK(frx_rank_of_slot(n_slot, n_rank, slot) == rank, "slot %d of %d on %d ranks", slot,
                          n_slot, n_rank);
                next = first + n;
            }
            CHECK(next == n_slot, "%d of %d slots", next, n_slot);
        }
    int first, n;
    CHECK_FAILS(frx_slots_of_rank(4, 5, 0, &first, &n), FRX_ERR_ARGUMENT, "5 ranks for 4 replicas");
}

int main(void) {
    refusals();
    betas();
    geometric();
    distribution();
    return frx_check_result();
}
