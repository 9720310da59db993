#include "pdb.h"

#include "durable.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Of the eight columns of a coordinate, Angstrom. */
#define LOWEST  (-999.9995)
#define HIGHEST 9999.9995

/* PDB is ASCII in columns: at most n characters of text, a question mark for what is none. */
static const char *ascii(const char *text, size_t n, char *out) {
    size_t i = 0;
    for (; i < n && text[i]; i++) out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    out[i] = '\0';
    return out;
}

/* Atom names of up to three letters start in the second column of their field (the first belongs to the
 * element). */
static void write_atom(FILE *file, const struct frx_beads *beads, int i, const double *x) {
    char name[5], residue_name[4], chain[2];
    ascii(beads->name[i], 4, name);
    ascii(beads->chain[i], 1, chain);
    const int residue = beads->residue_index[i] % 10000;
    fprintf(file, strlen(name) < 4 ? "ATOM  %5d  %-3s" : "ATOM  %5d %s", (i + 1) % 100000, name);
    fprintf(file, " %-3s %1s%4d    %8.3f%8.3f%8.3f%6.2f%6.2f\n",
            ascii(beads->residue_name[i], 3, residue_name), chain, residue < -999 ? 0 : residue, x[0], x[1],
            x[2], 1.0, 0.0);
}

enum frx_status frx_pdb_place(const double *positions, int n_bead, double shift[3]) {
    double low[3], high[3];
    int fits = 1;
    for (int a = 0; a < 3; a++) {
        low[a] = high[a] = positions[a];
        for (int i = 0; i < n_bead; i++) {
            const double x = positions[3 * (size_t)i + (size_t)a];
            if (!isfinite(x))
                return FRX_FAIL(FRX_ERR_MODEL, "bead %d has coordinate %g A, which no PDB can hold", i, x);
            low[a] = fmin(low[a], x);
            high[a] = fmax(high[a], x);
        }
        if (!(high[a] - low[a] < HIGHEST - LOWEST - 0.01))
            return FRX_FAIL(FRX_ERR_MODEL,
                            "a structure %g A across is too large for a PDB, whose columns hold %g A",
                            high[a] - low[a], HIGHEST - LOWEST);
        fits &= low[a] > LOWEST && high[a] < HIGHEST;
    }
    for (int a = 0; a < 3; a++) {
        const double centre = 0.5 * (low[a] + high[a]);
        const int about_origin = 0.5 * (high[a] - low[a]) < -LOWEST - 0.01;
        shift[a] = fits ? 0 : (about_origin ? 0 : 0.5 * (LOWEST + HIGHEST)) - centre;
    }
    return FRX_OK;
}

enum frx_status frx_pdb_write(const char *path, const struct frx_system *system, const double *positions,
                              const char *title) {
    double shift[3];
    FRX_TRY(frx_pdb_place(positions, system->n_bead, shift));
    FILE *file = fopen(path, "w");
    if (!file) return FRX_FAIL(FRX_ERR_IO, "cannot write %s: %s", path, strerror(errno));
    char text[61];
    fprintf(file, "TITLE     %s\n", ascii(title, sizeof text - 1, text));
    if (shift[0] != 0 || shift[1] != 0 || shift[2] != 0)
        fprintf(file, "REMARK     moved by %.3f %.3f %.3f A\n", shift[0], shift[1], shift[2]);
    const struct frx_beads *beads = &system->beads;
    for (int i = 0; i < system->n_bead; i++) {
        if (i > 0 && strcmp(beads->chain[i], beads->chain[i - 1]) != 0) fputs("TER\n", file);
        const double *at = positions + 3 * (size_t)i;
        write_atom(file, beads, i, (double[]){at[0] + shift[0], at[1] + shift[1], at[2] + shift[2]});
    }
    fputs("TER\n", file);
    for (int b = 0; b < system->n_bond; b++) {
        const int first = (system->bonds[2 * b] + 1) % 100000,
                  second = (system->bonds[2 * b + 1] + 1) % 100000;
        fprintf(file, "CONECT%5d%5d\nCONECT%5d%5d\n", first, second, second, first);
    }
    fputs("END\n", file);
    const enum frx_status status = frx_durable_close(file, path);
    if (status != FRX_OK) remove(path);
    return status;
}
