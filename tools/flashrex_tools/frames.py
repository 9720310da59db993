"""What kind of file is it, and the positions of trajectories and frames files."""

import h5py
import numpy as np

from .errors import ImportFailure
from .torch_file import is_torch_file

_PDB_RECORDS = (
    "HEADER", "TITLE", "COMPND", "REMARK", "CRYST1", "MODEL", "ATOM", "HETATM", "SEQRES", "EXPDTA", "SOURCE",
    "KEYWDS", "AUTHOR", "NUMMDL", "OBSLTE", "CAVEAT", "SPLIT", "DBREF", "HELIX", "SHEET", "ORIGX1", "SCALE1",
)  # fmt: skip


def kind_of(path):
    """torch, hdf5, xtc, trr, dcd, pdb, psf or text, from the content of the file."""
    try:
        with open(path, "rb") as file:
            start = file.read(4096)
        if is_torch_file(path):
            return "torch"
    except OSError as error:
        raise ImportFailure(f"{path}: {error.strerror or error}") from None
    if not start:
        raise ImportFailure(f"{path}: the file is empty")
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    word = int.from_bytes(start[:4], "big")
    if word in (1995, 2023):
        return "xtc"
    if word == 1993:
        return "trr"
    if start[4:8] == b"CORD":
        return "dcd"
    if b"\0" in start:
        raise ImportFailure(f"{path}: a file of an unknown kind")
    text = start.decode("utf-8", "replace")
    if text.lstrip().startswith("PSF"):
        return "psf"
    if any(line[:6].strip() in _PDB_RECORDS for line in text.splitlines()):
        return "pdb"
    return "text"


def read_trajectory(path, kind, n_bead):
    """All frames [n][n_bead][3], Angstrom, of a trajectory that holds the beads and nothing else."""
    frames = _hdf5_frames(path) if kind == "hdf5" else _mdanalysis_frames(path, kind)
    if frames.ndim != 3 or frames.shape[0] < 1 or frames.shape[2] != 3:
        raise ImportFailure(f"{path}: frames of shape {frames.shape}")
    if frames.shape[1] != n_bead:
        raise ImportFailure(f"{path} has {frames.shape[1]} atoms in a frame, the molecule has {n_bead} beads")
    return frames


def _hdf5_frames(path):
    try:
        with h5py.File(path, "r") as file:
            for name in ("positions", "structures/positions"):
                if name in file:
                    return np.asarray(file[name], np.float64)
    except (OSError, ValueError, TypeError) as error:
        raise ImportFailure(f"{path}: cannot be read ({error})") from None
    raise ImportFailure(f"{path}: an HDF5 file without 'positions'")


def _mdanalysis_frames(path, kind):
    """Through MDAnalysis' plain file classes: its readers would write an index beside the trajectory."""
    try:
        from MDAnalysis.lib.formats import libdcd, libmdaxdr
    except ImportError:
        raise ImportFailure(
            f"{path}: reading trajectories needs MDAnalysis (pip install MDAnalysis)"
        ) from None
    opener, unit = {
        "xtc": (libmdaxdr.XTCFile, 10.0),  # nm
        "trr": (libmdaxdr.TRRFile, 10.0),
        "dcd": (libdcd.DCDFile, 1.0),
    }[kind]
    try:
        with opener(str(path)) as trajectory:
            frames = [(frame.xyz if kind == "dcd" else frame.x) * np.float32(unit) for frame in trajectory]
    except (OSError, EOFError, ValueError, RuntimeError) as error:
        raise ImportFailure(f"{path}: cannot be read ({error})") from None
    return np.array(frames, np.float64)
