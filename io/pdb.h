/* Writing a coarse-grained PDB, which gives viewers and analysis tools the topology that trajectories lack.
 *
 * Beads become ATOM records with their names, residues and chains, bonds become CONECT records in both
 * directions. Source: PDB format 3.3 (wwPDB 2012), with its limits stretched the customary way: serial
 * numbers beyond 99999 and residue numbers beyond 9999 wrap around. */
#ifndef FRX_IO_PDB_H
#define FRX_IO_PDB_H

#include "status.h"
#include "system.h"

/* By how much (Angstrom) positions [n_bead][3] are moved before they are written: not at all if they are from
 * -999.999 to 9999.999 A, which is what the columns hold; else so that the middle is the origin or, of what
 * is longer than 2000 A, the middle of the columns. Errors: FRX_ERR_MODEL for coordinates that are not finite
 * and for structures more than 10999 A long. Local. */
FRX_CHECKED enum frx_status frx_pdb_place(const double *positions, int n_bead, double shift[3]);

/* Write positions [n_bead][3] Angstrom of the system to `path`, replacing it, moved as frx_pdb_place says (a
 * REMARK tells). `title` becomes the TITLE record. Errors: FRX_ERR_IO with path and reason; those of
 * frx_pdb_place. Nothing is left behind then. Local. */
FRX_CHECKED enum frx_status frx_pdb_write(const char *path, const struct frx_system *system,
                                          const double *positions, const char *title);

#endif
