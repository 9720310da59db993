"""How native is a structure: RMSD and fraction of native contacts with respect to a reference structure.

Fraction of native contacts: Best, Hummer, Eaton, PNAS 2013, 110, 17874, with lambda = 1.2 as is usual for one bead
per residue."""

from dataclasses import dataclass

import numpy as np

from .errors import ImportFailure
from .pdb import read_pdb, standard_name

CONTACT_CUTOFF = 8.0  # Angstrom between C-alpha in the reference
SEPARATION = 3  # residues along a chain at least
STEEPNESS, LAMBDA = 5.0, 1.2  # 1/Angstrom; a contact of length r0 is half broken at LAMBDA r0
FEWEST = 4  # beads that a reference must have


@dataclass
class Native:
    beads: np.ndarray  # [n] of the run that are compared
    positions: np.ndarray  # [n][3] Angstrom, centred
    pairs: np.ndarray  # [n_contact][2] rows of `beads`
    lengths: np.ndarray  # [n_contact] Angstrom
    what: str  # "C-alpha" or "all beads"

    def rmsd(self, positions):
        """Root-mean-square deviation after superposition, Angstrom, [..], of positions [..][n_bead][3]."""
        from MDAnalysis.lib.qcprot import CalcRMSDRotationalMatrix

        frames = self._chosen(positions)
        frames -= frames.mean(axis=1, keepdims=True)
        n, native = len(self.beads), self.positions
        values = [CalcRMSDRotationalMatrix(native, frame, n, None, None) for frame in frames]
        return np.reshape(values, positions.shape[:-2])

    def contacts(self, positions):
        """Fraction of native contacts, 0 to 1, [..]; NaN where the reference has none."""
        from MDAnalysis.lib.distances import calc_bonds

        if len(self.pairs) == 0:
            return np.full(positions.shape[:-2], np.nan)
        frames = self._chosen(positions)
        ends = (np.ascontiguousarray(frames[:, self.pairs[:, k]]).reshape(-1, 3) for k in (0, 1))
        stretch = calc_bonds(*ends).reshape(len(frames), -1) - LAMBDA * self.lengths
        q = np.mean(1 / (1 + np.exp(np.minimum(STEEPNESS * stretch, 500))), axis=1)
        return q.reshape(positions.shape[:-2])

    def superposed(self, positions):
        """Compared beads of one frame [n_bead][3] moved onto the reference, [n][3]."""
        from MDAnalysis.analysis.align import rotation_matrix

        frame = self._chosen(positions)[0]
        frame -= frame.mean(axis=0)
        return frame @ rotation_matrix(frame, self.positions)[0].T

    def _chosen(self, positions):
        shape = positions.shape[-2:]
        return positions.reshape(-1, *shape)[:, self.beads].astype(np.float64)

    def measure(self, run):
        """RMSD and fraction of native contacts of all frames, [n_frame][n_place] each."""
        rmsd, contacts = np.empty((run.n_frame, run.n_place)), np.empty((run.n_frame, run.n_place))
        for rows, positions in run.position_blocks():
            rmsd[rows], contacts[rows] = self.rmsd(positions), self.contacts(positions)
        return rmsd, contacts


def read_native(path, beads):
    """Native of a PDB file with all atoms or with beads, for the `beads` of a run. Residues are told by their
    numbers, or by their order if the file has as many; names must agree."""
    reference = read_pdb(path)
    positions = reference.positions[0]
    partner = _partners(reference.residues, beads, path)
    alpha = np.flatnonzero(beads["name"] == "CA")
    chosen, what = (alpha, "C-alpha") if len(alpha) >= FEWEST else (np.arange(len(partner)), "all beads")
    rows = [(bead, partner[bead].atoms[beads["name"][bead]]) for bead in chosen
            if partner[bead] is not None and beads["name"][bead] in partner[bead].atoms]  # fmt: skip
    if len(rows) < max(FEWEST, len(chosen) / 2):
        raise ImportFailure(f"{path}: only {len(rows)} of the {len(chosen)} beads ({what}) are in it")
    index, atom = np.array(rows).T
    place = positions[atom] - positions[atom].mean(axis=0)
    residue, chain = beads["residue_index"][index], beads["chain"][index]
    i, j = np.triu_indices(len(index), 1)
    apart = (chain[i] != chain[j]) | (np.abs(residue[i] - residue[j]) >= SEPARATION)
    length = np.linalg.norm(place[i] - place[j], axis=1)
    close = apart & (length < CONTACT_CUTOFF)
    return Native(index, place, np.stack([i[close], j[close]], axis=1), length[close], what)


def _partners(residues, beads, path):
    """For each bead the residue of the reference that it belongs to, or None."""
    keys = list(zip(beads["chain"], beads["residue_index"].tolist()))
    order = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    one_chain = len(set(beads["chain"])) == 1 and len({residue.chain for residue in residues}) == 1
    by_number = {("" if one_chain else residue.chain, residue.number): residue for residue in residues}
    ways = [lambda key: by_number.get(("" if one_chain else key[0], key[1]))]
    if len(order) == len(residues):
        ways.append(lambda key: residues[order[key]])
    for way in ways:
        partner = [way(key) for key in keys]
        found = [(p, name) for p, name in zip(partner, beads["residue_name"]) if p is not None]
        if found and all(p.standard == standard_name(name) for p, name in found):
            return partner
    raise ImportFailure(
        f"{path}: its residues are not those of the run ({len(residues)} there, {len(order)} here): "
        "neither by number nor by order do all names agree"
    )
