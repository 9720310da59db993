"""flashrex-export: what MDAnalysis and mdtraj read back, and that a replica's trajectory is continuous."""

import numpy as np
import pytest
from fake_run import write_run
from flashrex_tools.export import main
from flashrex_tools.run_directory import read_run

mda = pytest.importorskip("MDAnalysis")
mdtraj = pytest.importorskip("mdtraj")
pytestmark = pytest.mark.filterwarnings("ignore")
TEMPERATURES = [300.0, 333.3, 370.0]
PRECISION = {"xtc": 0.0051, "dcd": 0.0}  # Angstrom: half of 0.001 nm, and none


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two ladders of three temperatures; replica r stays near x = 100 r and creeps, places are shuffled."""
    rng = np.random.default_rng(4)
    folder = tmp_path_factory.mktemp("export") / "run"
    n_frame, replica = 40, np.empty((40, 6), int)
    for row in replica:
        row[:3], row[3:] = rng.permutation(3), 3 + rng.permutation(3)
    walk = np.cumsum(rng.normal(scale=0.1, size=(n_frame, 6, 10, 3)), axis=0)
    walk[..., 0] += 100 * np.arange(6)[:, None] + 3.8 * np.arange(10)
    positions = np.take_along_axis(walk, replica[:, :, None, None], axis=1)
    adapting = np.arange(n_frame) < 5
    write_run(folder, TEMPERATURES, np.zeros((n_frame, 6)), replica, positions, 2, adapting=adapting)
    return read_run(folder)


def read(folder, name):
    """Positions in Angstrom and times in ps, by MDAnalysis and by mdtraj."""
    universe = mda.Universe(str(folder / "system.pdb"), str(folder / name))
    frames = np.array([ts.positions.copy() for ts in universe.trajectory])
    other = mdtraj.load(str(folder / name), top=str(folder / "system.pdb"))
    assert other.xyz * 10 == pytest.approx(frames, abs=1e-3)
    return frames, np.array([ts.time for ts in universe.trajectory])


@pytest.mark.parametrize("form", PRECISION)
def test_per_temperature(run, tmp_path, form):
    assert main([str(run.directory), "--format", form, "-o", str(tmp_path)]) == 0
    for place in range(6):
        name = f"ladder_{place // 3}_T_{place % 3:02d}_{TEMPERATURES[place % 3]:.1f}K.{form}"
        frames, time = read(tmp_path, name)
        assert len(frames) == 35
        assert np.abs(frames - run.positions[:, place]).max() <= PRECISION[form] + 2e-4 * (form == "xtc")
        assert time == pytest.approx(run.time, rel=1e-6)


@pytest.mark.parametrize("form", PRECISION)
def test_per_replica_is_continuous_and_per_temperature_is_not(run, tmp_path, form):
    assert main([str(run.directory), "--per", "replica", "--format", form, "-o", str(tmp_path)]) == 0
    assert main([str(run.directory), "--format", form, "-o", str(tmp_path)]) == 0
    for replica in range(6):
        frames, _ = read(tmp_path, f"replica_{replica:03d}.{form}")
        assert np.abs(np.diff(frames, axis=0)).max() < 1
        assert frames[:, 0, 0].mean() == pytest.approx(100 * replica, abs=5)
        frames, _ = read(tmp_path, f"ladder_{replica // 3}_T_00_300.0K.{form}")
        assert np.abs(np.diff(frames, axis=0)).max() > 50


def test_some_temperatures(run, tmp_path, capsys):
    assert main([str(run.directory), "--temperature", "370", "300.1", "-o", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.glob("*.xtc")} == {
        f"ladder_{ladder}_T_{rung}K.xtc" for ladder in (0, 1) for rung in ("00_300.0", "02_370.0")
    }
    assert main([str(run.directory), "--temperature", "310", "-o", str(tmp_path)]) == 2
    assert "no rung at 310 K; there are 300.0, 333.3, 370.0 K" in capsys.readouterr().err


def test_refusals(run, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit:
        main([str(run.directory), "--per", "replica", "--temperature", "300"])
    assert exit.value.code == 2
    assert main([str(tmp_path / "nothing")]) == 2
    assert "no run here" in capsys.readouterr().err
    empty = write_run(tmp_path / "empty", [300.0], np.zeros((0, 1)))
    assert main([str(empty)]) == 2
    assert "no frames yet" in capsys.readouterr().err


def test_default_folder_is_in_the_run(tmp_path):
    run = write_run(tmp_path / "run", [300.0], np.zeros((3, 1)))
    assert main([str(run)]) == 0
    assert {path.name for path in (run / "export").iterdir()} == {"system.pdb", "T_00_300.0K.xtc"}
