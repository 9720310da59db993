"""flashrex-report: the page of every kind of run stands on its own and has what it should; what it cannot have, it
says."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from fake_run import BOLTZMANN, TwoStates, random_exchanges, write_pdb, write_run
from flashrex_tools.report import analyse, main, page_of
from flashrex_tools.report_figures import free_energy_surfaces
from flashrex_tools.report_page import Page, number, with_error
from flashrex_tools.run_directory import read_run

for package in ("pymbar", "matplotlib", "MDAnalysis"):
    pytest.importorskip(package)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
TEMPERATURES = np.geomspace(300, 500, 4)
VOID = {"meta", "img", "br"}
NATIVE = 3.8 * np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [4, 0, 0], [4.5, 0.9, 0], [4, 1.5, 0],
                         [3, 1.5, 0], [2, 1.5, 0], [1, 1.5, 0]])  # fmt: skip


class Checker(HTMLParser):
    """Tags must be closed in order, and nothing may be fetched from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.words = [], set(), set(), []
        self.feed(text)
        assert not self.open, self.open
        assert self.links <= self.ids, "a link into nowhere"

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.add(value)
            if name in ("src", "href", "srcset", "data", "action"):
                assert value.startswith(("data:image/png;base64,", "#")), value
                if value.startswith("#"):
                    self.links.add(value[1:])
        assert tag not in ("link", "script", "iframe", "object")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def check(page):
    text = page.html()
    assert "url(" not in text and "@import" not in text
    assert all(picture.startswith(b"\x89PNG") and len(picture) > 3000 for picture in page.pictures.values())
    assert text.count("<img") == len(page.pictures)
    return Checker(text).text


def two_states(folder, n_frame=400, n_rung=4, n_ladder=1, adapting=0, **options):
    """A run of TwoStates; unfolded chains are stretched, folded ones near NATIVE."""
    rng, model = np.random.default_rng(9), TwoStates()
    temperatures = TEMPERATURES[:n_rung]
    beta = np.tile(1 / (BOLTZMANN * temperatures), n_ladder)
    energy, folded = model.draw(rng, beta, n_frame)
    stretched = 3.8 * np.arange(10)[:, None] * [1.0, 0, 0]
    positions = np.where(folded[..., None, None], NATIVE, stretched)
    positions = positions + rng.normal(scale=0.3, size=positions.shape)
    first = np.arange(n_ladder)[:, None] * n_rung
    replica = np.stack([(rng.permuted(np.tile(np.arange(n_rung), (n_ladder, 1)), axis=1) + first).ravel()
                        for _ in range(n_frame)]) if n_frame else None  # fmt: skip
    positions[:adapting], energy[:adapting] = 50 * stretched[:10], 1e6
    flags = np.arange(n_frame) < adapting
    exchanges = random_exchanges(rng, 5 * max(n_frame, 40), n_rung, n_ladder) if n_rung > 1 else None
    if exchanges:
        exchanges["energy"] = model.draw(rng, beta, len(exchanges["step"]))[0]
    options = {"exchanges": exchanges} | options
    write_run(folder, temperatures, energy, replica, positions, n_ladder, adapting=flags, **options)
    return read_run(folder)


@pytest.fixture
def native(tmp_path):
    return write_pdb(tmp_path / "native.pdb", NATIVE)


EVERYTHING = {"ladder", "walk", "one_replica", "f_of_rung", "energies", "sampling", "heat_capacity", "native_over_time",
              "native_of_replicas", "structures", "free_energy", "folded_fraction"}  # fmt: skip
NEEDS_REFERENCE = {"native_over_time", "native_of_replicas", "structures", "free_energy", "folded_fraction"}


def test_everything(tmp_path, native):
    run = two_states(tmp_path / "run")
    page = page_of(analyse(run, native, 5.0))
    text = check(page)
    assert set(page.pictures) == EVERYTHING
    assert "This is no physical melting curve" in text and "fitted at one temperature" in text
    for unit in ("T (K)", "ns", "ps", "kcal/mol"):
        assert unit in text
    assert "YYDPETGTWY" in text and "300–500 K" in text
    assert "contradict" not in text


def test_numbers_are_right(tmp_path, native):
    """What the table says at each rung is what the model has, within the errors that it states."""
    run = two_states(tmp_path / "run", n_frame=1500)
    analysis = analyse(run, native, 5.0)
    mean, error = analysis.frames.mbar.average(analysis.frames.mbar.take(analysis.folded), run.beta)
    exact = TwoStates().folded(run.beta)
    assert np.all(np.abs(mean - exact) < 4 * error) and np.all(error < 0.03)
    text = check(page_of(analysis))
    for k in range(4):
        assert with_error(mean[k], error[k]) in text


def test_swapped_temperatures_are_noticed(tmp_path):
    import h5py

    run = two_states(tmp_path / "run", n_frame=1500)
    with h5py.File(tmp_path / "run/segment_0001.h5", "r+") as file:
        for name in ("beta", "temperature"):
            file[f"run/{name}"][...] = file[f"run/{name}"][:][[1, 0, 2, 3]]
    assert "contradict each other" not in check(page_of(analyse(run)))
    assert "contradict each other" in check(page_of(analyse(read_run(tmp_path / "run"))))


def test_without_a_reference(tmp_path):
    page = page_of(analyse(two_states(tmp_path / "run")))
    assert "--reference native.pdb" in check(page)
    assert set(page.pictures) == EVERYTHING - NEEDS_REFERENCE


def test_several_ladders(tmp_path, native):
    page = page_of(analyse(two_states(tmp_path / "run", n_ladder=3), native, 5.0))
    assert "on 3 ladders" in check(page)
    assert set(page.pictures) == EVERYTHING


def test_one_temperature(tmp_path, native):
    page = page_of(analyse(two_states(tmp_path / "run", n_rung=1), native, 5.0))
    text = check(page)
    assert "there is no ladder" in text and "300.0 K" in text
    assert set(page.pictures) == {"energies", "sampling"} | NEEDS_REFERENCE - {"folded_fraction"}


def test_no_exchanges(tmp_path):
    none = {"adapting": np.zeros(0, np.uint8)}
    assert "There were no exchanges" in check(page_of(analyse(two_states(tmp_path / "run", exchanges=none))))


@pytest.mark.parametrize("n_frame", [0, 1, 2, 3, 19])
def test_hardly_any_frames(tmp_path, native, n_frame):
    none = {"adapting": np.zeros(0, np.uint8)}
    text = check(page_of(analyse(two_states(tmp_path / "run", n_frame=n_frame, exchanges=none), native)))
    assert f"{n_frame} frames are too few" in text and f"There are {n_frame} frames" in text


@pytest.mark.parametrize("n_frame", [0, 5])
def test_energies_come_from_exchange_events_without_frames(tmp_path, native, n_frame):
    rng, beta = np.random.default_rng(8), 1 / (BOLTZMANN * TEMPERATURES)
    exchanges = random_exchanges(rng, 3000, 4)
    exchanges["energy"] = rng.gamma(15, 1 / beta, (3000, 4))
    analysis = analyse(two_states(tmp_path / "run", n_frame=n_frame, exchanges=exchanges), native)
    text, mbar = check(page_of(analysis)), analysis.energies.mbar
    assert "Energies of 3,000 exchange events, 0.4 ps apart" in text and f"There are {n_frame} frames" in text
    mean, error = mbar.average(mbar.energy, beta)
    assert np.all(np.abs(mean - 15 / beta) < 4 * error)


@pytest.mark.parametrize("n_frame", [20, 21, 30, 60])
def test_short_runs(tmp_path, native, n_frame):
    text = check(page_of(analyse(two_states(tmp_path / "run", n_frame=n_frame), native, 5.0)))
    assert "independent samples of a rung: errors of errors are large" in text


def test_only_adapted(tmp_path):
    exchanges = random_exchanges(np.random.default_rng(3), 60, 4)
    exchanges["adapting"][:] = 1
    text = check(page_of(analyse(two_states(tmp_path / "run", n_frame=0, exchanges=exchanges))))
    assert "There are no exchanges that count yet" in text and "every 100 steps, 0 events" in text


def test_one_replica(tmp_path):
    rng = np.random.default_rng(4)
    write_run(tmp_path / "run", [300.0], rng.normal(size=(50, 1)), exchanges={"adapting": np.zeros(0, np.uint8)})
    text = check(page_of(analyse(read_run(tmp_path / "run"))))
    assert "1 temperature, 300.0 K" in text and "1 temperatures" not in text and "Exchange none" in text
    assert "replicas come and go" not in text and "neighbours" not in text


def test_nothing_at_all(tmp_path):
    none = {"adapting": np.zeros(0, np.uint8)}
    text = check(page_of(analyse(two_states(tmp_path / "run", n_frame=0, exchanges=none))))
    assert "Nothing was written yet" in text


def test_never_folded_and_always_folded(tmp_path, native):
    run = two_states(tmp_path / "run")
    for threshold, fraction in ((0.001, 0.0), (1000, 1.0)):
        analysis = analyse(run, native, threshold)
        mean, error = analysis.frames.mbar.average(analysis.frames.mbar.take(analysis.folded), run.beta)
        assert np.all(mean == fraction) and np.all(error == 0)
        check(page_of(analysis))


def test_rungs_without_overlap(tmp_path, native):
    rng = np.random.default_rng(1)
    energy = rng.gamma(15, BOLTZMANN * TEMPERATURES, (300, 4)) + [0, 0, 500, 500]
    exchanges = random_exchanges(rng, 1500, 4)
    exchanges["probability"][:, :, 1] = exchanges["accepted"][:, :, 1] = 0
    write_run(tmp_path / "run", TEMPERATURES, energy, exchanges=exchanges)
    page = page_of(analyse(read_run(tmp_path / "run"), native))
    text = check(page)
    assert "MBAR cannot connect them" in text
    assert {"heat_capacity", "free_energy", "folded_fraction"} & set(page.pictures) == set()
    assert "Rungs 1 and 2 hardly exchange (acceptance 0.000)" in text
    assert "Energies of rungs 1 and 2 hardly overlap (0.000)" in text


def test_reference_without_contacts(tmp_path):
    straight = write_pdb(tmp_path / "straight.pdb", 3.8 * np.arange(10)[:, None] * [1.0, 0, 0])
    page = page_of(analyse(two_states(tmp_path / "run"), straight))
    assert "no native contacts" in check(page)
    assert set(page.pictures) == EVERYTHING - {"native_of_replicas", "free_energy"}


@pytest.mark.parametrize("n", range(1, 7))
def test_every_column_of_surfaces_has_an_axis(n):
    rng = np.random.default_rng(n)
    figure = free_energy_surfaces(rng.random(99), rng.random(99), [(300 + k, np.ones(99)) for k in range(n)])
    panels = [axes for axes in figure.axes if axes.get_visible() and axes.get_title("left")]
    assert len(panels) == n
    columns = {axes.get_subplotspec().colspan.start for axes in panels}
    labelled = [axes for axes in panels if axes.get_xlabel()]
    assert {axes.get_subplotspec().colspan.start for axes in labelled} == columns and len(labelled) == len(columns)
    figure.canvas.draw()
    assert all(any(label.get_visible() for label in axes.get_xticklabels()) for axes in labelled)


def test_frames_of_the_adaptation_are_left_out(tmp_path, native):
    analysis = analyse(two_states(tmp_path / "run", adapting=100), native, 5.0)
    assert analysis.run.n_frame == 300 and analysis.run.energy.max() < 1000 and analysis.rmsd.max() < 50
    assert "100 more of the adaptation of the ladder are left out" in check(page_of(analysis))


def test_a_run_that_goes_on(tmp_path):
    """Rows beyond what is committed are not looked at; there is no summary yet."""
    run = two_states(tmp_path / "run", committed=300)
    assert run.n_frame == 300 and len(run.energy) == 300 and len(run.positions) == 300
    assert "going on" in check(page_of(analyse(run)))


def test_command(tmp_path, native, capsys):
    two_states(tmp_path / "run")
    arguments = [str(tmp_path / "run"), "--reference", str(native), "--folded-rmsd", "5"]
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"report.html"} | {f"{name}.png" for name in EVERYTHING}
    assert "an RMSD below 5 Å" in Checker((tmp_path / "out/report.html").read_text()).text
    assert main(arguments) == 0
    assert (tmp_path / "run/report/report.html").exists()
    assert main([str(tmp_path)]) == 2 and "no run here" in capsys.readouterr().err
    none, file = tmp_path / "none.pdb", tmp_path / "file"
    file.touch()
    for wrong, words in [
        (["--reference", str(none)], f"{none}: No such file or directory"),
        (["-o", str(file / "out")], f"{file / 'out'}: Not a directory"),
    ]:
        assert main([str(tmp_path / "run"), *wrong]) == 2
        assert capsys.readouterr().err == f"flashrex-report: error: {words}\n"
    with pytest.raises(SystemExit) as exit:
        main(["--version"])
    assert exit.value.code == 0 and "flashrex-report 0." in capsys.readouterr().out
    for bad in ("0", "-1", "nan", "near"):
        with pytest.raises(SystemExit) as exit:
            main([str(tmp_path / "run"), "--folded-rmsd", bad])
        assert exit.value.code == 2


def test_text_of_files_is_harmless():
    page = Page("<script>", "a & b")
    page.facts([("<b>", "<i>")])
    page.details("<p>", "</pre>")
    assert "<script>" not in page.html().split("<style>")[0] and "<i>" not in page.html()
    Checker(page.html())


def test_numbers():
    assert number(3.14159) == "3.14" and number(float("nan")) == "–" and number(0) == "0" and number(12345) == "12,345"
    assert with_error(1.23456, 0.0234) == "1.235 ± 0.023" and with_error(12.3, 4.5) == "12.3 ± 4.5"
