"""Check a run of write_fake_run with one reader: read_run.py segment|h5py|mdanalysis|mdtraj RUN [watch]

Prints the number of frames found. `segment` looks at committed frames only, the others at all that are shown.
With `watch`, while the run goes on: until it has grown three times. Run by test_run_files.py with different
Pythons."""

import gc
import glob
import importlib.util
import os
import sys
import time
import traceback
import warnings

NEEDED = {
    "segment": ["h5py"],
    "h5py": ["h5py"],
    "mdanalysis": ["h5py", "MDAnalysis"],
    "mdtraj": ["mdtraj", "tables"],
}
SKIP = 77


def positions(frames, places, n_bead):
    """What fake_run.c writes, [frame][place][bead][3]."""
    import numpy as np

    frame, place, bead, k = np.ix_(frames, places, np.arange(n_bead), np.arange(3))
    return (3.75 * bead + 0.125 * frame + 0.015625 * place + k).astype(np.float32)


def views(run):
    return sorted(glob.glob(os.path.join(run, "*.h5md")))


def check_segment(run):
    """The segment and the views' first frames through h5py; returns the number of committed frames."""
    import h5py
    import numpy as np

    with h5py.File(os.path.join(run, "segment_0001.h5"), "r") as file:
        n, n_event = file["committed"][:]
        frames = file["frames"]
        n_place, n_bead = frames["position"].shape[1:3]
        assert all(len(dataset) >= n for dataset in frames.values())
        assert all(len(dataset) >= n_event for dataset in file["exchanges"].values())
        assert (frames["position"][:n] == positions(np.arange(n), np.arange(n_place), n_bead)).all()
        assert (frames["step"][:n] == 100 * (np.arange(n) + 1)).all()
        assert np.allclose(frames["time"][:n], 0.4 * (np.arange(n) + 1))
        energy = -n_bead + 0.1 * np.arange(n)[:, None] + 0.001 * np.arange(n_place)
        assert np.allclose(frames["energy"][:n], energy)
        kinetic = 5 + 0.001 * np.arange(n)[:, None] + 0.1 * np.arange(n_place)
        assert np.allclose(frames["kinetic_energy"][:n], kinetic)
        assert (file["exchanges/event"][:n_event] == np.arange(n_event)).all()
        expected = -10.0 * np.arange(n_place) + 0.01 * np.arange(n_event)[:, None]
        assert np.allclose(file["exchanges/energy"][:n_event], expected)
        assert file["run"].attrs["config"] == "steps: 1\n# with a comment, ä\n"
        temperature = file["run/temperature"][:]
        assert np.allclose(temperature, 300 + 12.5 * np.arange(len(temperature)))
        assert list(file["beads/name"].asstr()[:2]) == ["CA", "CB"]
    for place, path in enumerate(views(run)):
        with h5py.File(path, "r") as file:
            value = file["particles/trajectory/position/value"]
            assert len(value) >= n and (value[:n] == positions(np.arange(n), [place], n_bead)[:, 0]).all()
    return int(n)


def check_h5py(run):
    """The segment, and the views as plain HDF5."""
    import h5py
    import numpy as np

    n = check_segment(run)
    for path in views(run):
        with h5py.File(path, "r") as file:
            position = file["particles/trajectory/position"]
            place, n_bead = file["flashrex"].attrs["place"], position["value"].shape[1]
            seen = len(position["value"])
            assert seen >= n, (seen, n)
            shown = [position["step"], position["time"], file["observables/replica/value"]]
            assert all(len(dataset) == seen for dataset in shown)
            assert (position["step"][:] == 100 * (np.arange(seen) + 1)).all(), "a frame shown is not written"
            assert (position["value"][:] == positions(np.arange(seen), [place], n_bead)[:, 0]).all()
            attributes = file["flashrex"].attrs
            assert abs(attributes["temperature"] - 300 - 12.5 * attributes["rung"]) < 1e-9
    return n


def check_mdanalysis(run):
    import MDAnalysis
    import numpy as np

    counts = set()
    for place, path in enumerate(views(run)):
        universe = MDAnalysis.Universe(os.path.join(run, "system.pdb"), path)
        assert universe.trajectory.units["length"] == "Angstrom" and universe.trajectory.units["time"] == "ps"
        n_bead = len(universe.atoms)
        for ts in universe.trajectory[:: 1 + len(universe.trajectory) // 50]:
            assert (ts.positions == positions([ts.frame], [place], n_bead)[0, 0]).all(), (path, ts.frame)
            assert abs(ts.time - 0.4 * (ts.frame + 1)) < 1e-9
            assert ts.data["step"] == 100 * (ts.frame + 1)
            assert abs(ts.data["potential_energy"] - (-n_bead + 0.1 * ts.frame + 0.001 * place)) < 1e-9
            assert abs(ts.data["kinetic_energy"] - (5 + 0.001 * ts.frame + 0.1 * place)) < 1e-9
            assert ts.dimensions is None
        assert list(universe.select_atoms("name CB").indices[:2]) == [1, 3]
        assert universe.bonds.indices[0].tolist() == [0, 1]
        counts.add(len(universe.trajectory))
        last = universe.trajectory[len(universe.trajectory) // 2]  # random access
        assert np.isfinite(last.positions).all()
    return min(counts)


def check_mdtraj(run):
    import mdtraj
    import numpy as np

    for place, path in enumerate(views(run)):
        trajectory = mdtraj.load_hdf5(path)
        n, n_bead = trajectory.n_frames, trajectory.n_atoms
        assert np.allclose(trajectory.xyz * 10, positions(np.arange(n), [place], n_bead)[:, 0], atol=1e-4)
        assert np.allclose(trajectory.time, 0.4 * (np.arange(n) + 1))
        atom = trajectory.topology.atom(1)
        assert (atom.name, atom.residue.name, atom.residue.resSeq) == ("CB", "GLY", 7)
        assert trajectory.topology.n_bonds == n_bead - 1 and trajectory.topology.n_chains == 2
    return n


def watch(check, run):
    """Check again and again, and see it grow. A file that is opened in the few milliseconds of a flush may
    look damaged, or show a frame less in one dataset than in another: then try again, with nothing left of the
    attempt: what an exception's traceback keeps open, HDF5 would not read again from the disk."""
    counts, failures = [], []
    deadline = time.monotonic() + 60
    while len(set(counts)) < 4 and time.monotonic() < deadline:
        try:
            counts.append(check(run))
            failures.clear()
        except Exception:  # whatever the reader makes of a file in the middle of a flush
            failures.append(traceback.format_exc())
            assert len(failures) <= 20, failures[-1]
        gc.collect()
        time.sleep(0.05)
    assert counts == sorted(counts) and len(set(counts)) == 4, counts
    return counts[-1]


def main():
    reader, run = sys.argv[1:3]
    warnings.simplefilter("ignore")
    missing = [name for name in NEEDED[reader] if importlib.util.find_spec(name) is None]
    if missing:
        print("missing:", ", ".join(missing))
        return SKIP
    check = globals()["check_" + reader]
    print(watch(check, run) if "watch" in sys.argv else check(run))
    return 0


if __name__ == "__main__":
    sys.exit(main())
