/* Writing a coarse-grained PDB, which gives viewers and analysis tools the topology that trajectories lack.
 *
 * Beads become ATOM records with their names, residues and chains, bonds become CONECT records in both
 * directions. Source: PDB format 3.3 (wwPDB 2012), with its limits stretched the customary way: serial
 * numbers beyond 99999 and residue numbers beyond 9999 wrap around. */
#ifndef FRX_IO_PDB_H
#define FRX_IO_PDB_H

#include "status.h"
#include "system.h"

/* Write positions [n_bead][3] Angstrom of the system to `path`, replacing it. `title` becomes the TITLE
 * record. Errors: FRX_ERR_IO with path and reason; FRX_ERR_MODEL for a coordinate that the format cannot hold
 * (beyond -999.999 to 9999.999 A). Nothing is left behind then. Local. */
FRX_CHECKED enum frx_status frx_pdb_write(const char *path, const struct frx_system *system,
                                          const double *positions, const char *title);

#endif
