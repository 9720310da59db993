"""Configs: what is accepted, and how the errors of the others look. `flashrex check` reads the config first; a system
that is missing is therefore the sign that the config was taken."""

import re
from pathlib import Path

import pytest
from system_files import harmonic_wells

MINIMAL = "system: s.h5\noutput: out\ntemperatures: [300, 320]\nn_timesteps: 1000\n"

# name: (config, arguments, the whole of standard error)
ERRORS = {
    "unknown key": (
        MINIMAL + "frction: 2\n",
        [],
        "run.yaml:5:1: error: unknown key 'frction'; did you mean 'friction'?\n"
        "    frction: 2\n"
        "    ^~~~~~~\n",
    ),
    "key of mlcg": (
        MINIMAL + "random_seed: 2\n",
        [],
        "run.yaml:5:1: error: unknown key 'random_seed'; mlcg's random_seed is called 'seed' here\n"
        "    random_seed: 2\n"
        "    ^~~~~~~~~~~\n",
    ),
    "unknown member": (
        "system: s.h5\noutput: out\nn_timesteps: 1\nladder: {t_min: 300, tmax: 400, n_rungs: 4}\n",
        [],
        "run.yaml:4:22: error: unknown key 'tmax'; did you mean 't_max'?\n"
        "    ladder: {t_min: 300, tmax: 400, n_rungs: 4}\n"
        "                         ^~~~\n",
    ),
    "duplicate key": (
        MINIMAL + "dt: 0.002\ndt: 0.004\n",
        [],
        "run.yaml:6:1: error: 'dt' is given twice; the first is in line 5\n    dt: 0.004\n    ^~\n",
    ),
    "letter in a number": (
        MINIMAL + "dt: 0.00Z\n",
        [],
        "run.yaml:5:5: error: dt: '0.00Z' is not possible; it must be a number from 1e-06 to 0.1 ps\n"
        "    dt: 0.00Z\n"
        "        ^~~~~\n",
    ),
    "hexadecimal": (
        MINIMAL + "friction: 0x10\n",
        [],
        "run.yaml:5:11: error: friction: '0x10' is not possible; it must be a number from 0 to 1000 1/ps\n"
        "    friction: 0x10\n"
        "              ^~~~\n",
    ),
    "not a number": (
        MINIMAL + "friction: .nan\n",
        [],
        "run.yaml:5:11: error: friction: '.nan' is not possible; it must be a number from 0 to 1000 1/ps\n"
        "    friction: .nan\n"
        "              ^~~~\n",
    ),
    "infinite by size": (
        MINIMAL + "friction: 1e999\n",
        [],
        "run.yaml:5:11: error: friction: '1e999' is not possible; it must be a number from 0 to 1000 1/ps\n"
        "    friction: 1e999\n"
        "              ^~~~~\n",
    ),
    "out of range": (
        MINIMAL + "dt: 4\n",
        [],
        "run.yaml:5:5: error: dt: '4' is not possible; it must be a number from 1e-06 to 0.1 ps\n"
        "    dt: 4\n"
        "        ^\n",
    ),
    "not whole": (
        MINIMAL + "save_interval: 1.5\n",
        [],
        "run.yaml:5:16: error: save_interval: '1.5' is not possible; it must be a whole number from 0 to 1e+12\n"
        "    save_interval: 1.5\n"
        "                   ^~~\n",
    ),
    "negative": (
        MINIMAL + "seed: -5\n",
        [],
        "run.yaml:5:7: error: seed: '-5' is not possible; it must be a whole number from 0 to 7.21e+16\n"
        "    seed: -5\n"
        "          ^~\n",
    ),
    "number in quotes": (
        MINIMAL + 'dt: "0.004"\n',
        [],
        "run.yaml:5:5: error: dt: text in quotes where there must be a number from 1e-06 to 0.1 ps (without quotes)\n"
        '    dt: "0.004"\n'
        "        ^~~~~~~\n",
    ),
    "boolean": (
        MINIMAL + "move: yes\n",
        [],
        "run.yaml:5:7: error: move: 'yes' is not possible; it must be configurations or temperatures\n"
        "    move: yes\n"
        "          ^~~\n",
    ),
    "misspelt word": (
        MINIMAL + "exchange_scheme: evenodd\n",
        [],
        "run.yaml:5:18: error: exchange_scheme: 'evenodd' is not possible; it must be even-odd, stochastic-even-odd "
        "or gibbs; did you mean 'even-odd'?\n"
        "    exchange_scheme: evenodd\n"
        "                     ^~~~~~~\n",
    ),
    "list for a number": (
        MINIMAL + "dt: [0.004]\n",
        [],
        "run.yaml:5:5: error: dt: a list where there must be a number from 1e-06 to 0.1 ps\n"
        "    dt: [0.004]\n"
        "        ^\n",
    ),
    "number for a list": (
        "system: s.h5\noutput: out\ntemperatures: 300\nn_timesteps: 1000\n",
        [],
        "run.yaml:3:15: error: temperatures: '300' is not possible; it must be a list of numbers from 1 to 100000 K, "
        "as in [300, 320, 342]\n"
        "    temperatures: 300\n"
        "                  ^~~\n",
    ),
    "no value": (
        MINIMAL + "dt:\n",
        [],
        "run.yaml:5:4: error: dt: no value; it must be a number from 1e-06 to 0.1 ps\n    dt:\n       ^\n",
    ),
    "unsorted temperatures": (
        "system: s.h5\noutput: out\ntemperatures: [300, 340, 320]\nn_timesteps: 1000\n",
        [],
        "run.yaml:3:26: error: temperatures: 320 after 340: each must be larger than the one before (coldest first)\n"
        "    temperatures: [300, 340, 320]\n"
        "                             ^~~\n",
    ),
    "equal temperatures": (
        "system: s.h5\noutput: out\ntemperatures:\n  - 300\n  - 300.0\nn_timesteps: 1000\n",
        [],
        "run.yaml:5:5: error: temperatures: 300.0 after 300: each must be larger than the one before (coldest first)\n"
        "      - 300.0\n"
        "        ^~~~~\n",
    ),
    "seed of 57 bits": (
        MINIMAL + "seed: 72057594037927936\n",
        [],
        "run.yaml:5:7: error: the largest seed is 72057594037927935\n"
        "    seed: 72057594037927936\n"
        "          ^~~~~~~~~~~~~~~~~\n",
    ),
    "gibbs on too many rungs": (
        "system: s.h5\noutput: out\nladder: {t_min: 300, t_max: 400, n_rungs: 300}\nn_timesteps: 1000\n"
        "exchange_scheme: gibbs\n",
        [],
        "run.yaml:5:18: error: gibbs tries as many pairs as the cube of the number of temperatures, which is 300; "
        "above 256 use even-odd\n"
        "    exchange_scheme: gibbs\n"
        "                     ^~~~~\n",
    ),
    "ascending betas": (
        "system: s.h5\noutput: out\nbetas: [1.5, 1.6]\nn_timesteps: 1000\n",
        [],
        "run.yaml:3:14: error: betas: 1.6 after 1.5: each must be smaller than the one before (coldest first)\n"
        "    betas: [1.5, 1.6]\n"
        "                 ^~~\n",
    ),
    "temperatures twice": (
        MINIMAL + "betas: [1.6, 1.5]\n",
        [],
        "run.yaml:5:8: error: temperatures are given twice: by temperatures and by betas; keep one\n"
        "    betas: [1.6, 1.5]\n"
        "           ^\n",
    ),
    "ladder upside down": (
        "system: s.h5\noutput: out\nn_timesteps: 1\nladder:\n  t_min: 400\n  t_max: 300\n  n_rungs: 4\n",
        [],
        "run.yaml:6:10: error: ladder.t_max must be larger than ladder.t_min\n      t_max: 300\n             ^~~\n",
    ),
    "incomplete ladder": (
        "system: s.h5\noutput: out\nn_timesteps: 1\nladder: {t_min: 400, t_max: 500}\n",
        [],
        "run.yaml: error: 'ladder.n_rungs' is missing; it must be a whole number from 2 to 4096\n",
    ),
    "no temperatures": (
        "system: s.h5\noutput: out\nn_timesteps: 1\n",
        [],
        "run.yaml: error: no temperatures; give one of `temperatures: [300, 320]`, `betas: [1.677, 1.573]` and "
        "`ladder: {t_min: 300, t_max: 450, n_rungs: 8}`\n",
    ),
    "required": (
        "system: s.h5\ntemperatures: [300]\nn_timesteps: 1\n",
        [],
        "run.yaml: error: 'output' is missing; it must be a path\n",
    ),
    "alias": (
        "system: &s s.h5\noutput: *s\n",
        [],
        "run.yaml:2:9: error: aliases are not supported: write the value out\n    output: *s\n            ^~\n",
    ),
    "tag": (
        MINIMAL + "dt: !!float 0.004\n",
        [],
        "run.yaml:5:13: error: tags (`!..`) are not supported: write the plain value\n"
        "    dt: !!float 0.004\n"
        "                ^~~~~\n",
    ),
    "two documents": (
        MINIMAL + "---\n" + MINIMAL,
        [],
        "run.yaml:5:1: error: a second document starts here; a config is one document\n    ---\n    ^\n",
    ),
    "a list": ("- 300\n", [], "run.yaml:1:1: error: a config is made of `key: value` lines\n    - 300\n    ^\n"),
    "empty": ("# nothing\n", [], "run.yaml:1:1: error: this is empty\n    # nothing\n    ^\n"),
    "argument": (
        MINIMAL,
        ["dt=fast"],
        "command line:1:4: error: dt: 'fast' is not possible; it must be a number from 1e-06 to 0.1 ps\n"
        "    dt=fast\n"
        "       ^~~~\n",
    ),
    "argument in a list": (
        MINIMAL,
        ["temperatures=[300, 290]"],
        "command line:1:20: error: temperatures: 290 after 300: each must be larger than the one before (coldest "
        "first)\n"
        "    temperatures=[300, 290]\n"
        "                       ^~~\n",
    ),
    "argument without =": (
        MINIMAL,
        ["fast"],
        "command line:1:1: error: this is not key=value, as in dt=0.002\n    fast\n    ^~~~\n",
    ),
    "unknown argument": (
        MINIMAL,
        ["frictoin=2"],
        "command line:1:1: error: unknown key 'frictoin'; did you mean 'friction'?\n    frictoin=2\n    ^~~~~~~~\n",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error(name, flashrex, write_config):
    text, arguments, expected = ERRORS[name]
    write_config(text)
    result = flashrex("check", "run.yaml", *arguments)
    assert result.err == expected
    assert result.code == 2
    assert result.out == ""


ACCEPTED = {
    "plain": (MINIMAL, []),
    "integral reals": (MINIMAL.replace("1000", "1e6") + "save_interval: 2.5e3\n", []),
    "comments, CRLF and blank lines": (MINIMAL.replace("\n", "  # why not\r\n\r\n"), []),
    "betas": (MINIMAL.replace("temperatures: [300, 320]", "betas: [1.677, 1.573]"), []),
    "ladder": (MINIMAL.replace("temperatures: [300, 320]", "ladder: {t_min: 300, t_max: 400, n_rungs: 4}"), []),
    "ladder given by arguments": (MINIMAL, ["ladder={t_min: 300, t_max: 400, n_rungs: 4}"]),
    "one number of a ladder": (
        MINIMAL.replace("temperatures: [300, 320]", "ladder: {t_min: 300, t_max: 400, n_rungs: 4}"),
        ["ladder.n_rungs=6"],
    ),
    "path with blanks": (MINIMAL, ["output=a path: with = and #"]),
    "largest seed": (MINIMAL + "seed: 72057594037927935\n", []),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name, flashrex, write_config):
    text, arguments = ACCEPTED[name]
    write_config(text)
    result = flashrex("check", "run.yaml", *arguments)
    assert result.code == 4 and "s.h5" in result.err, result.err


def test_too_large_too_deep_and_binary(flashrex, tmp_path):
    (tmp_path / "large.yaml").write_text("# " + "x" * (1 << 20))
    result = flashrex("check", "large.yaml")
    assert result.code == 2 and "larger than 1 MiB" in result.err
    (tmp_path / "deep.yaml").write_text("dt: " + "[" * 50000)
    result = flashrex("check", "deep.yaml")
    assert result.code == 2 and "deep.yaml:1:" in result.err
    (tmp_path / "binary.yaml").write_bytes(b"\x89HDF\r\n\x1a\n\0\0\0")
    result = flashrex("check", "binary.yaml")
    assert result.code == 2 and "not a text file" in result.err
    result = flashrex("check", "nothing.yaml")
    assert result.code == 4 and "nothing.yaml" in result.err


@pytest.mark.parametrize("line", ["dt: [0.004", "dt: 'fast", "dt: {a: b", "dt: 1: 2", "\tdt: 1", "dt: %1", "- dt"])
def test_not_yaml(line, flashrex, write_config):
    write_config(MINIMAL + line + "\n")
    result = flashrex("check", "run.yaml")
    assert result.code == 2 and result.out == ""
    place, what, *shown = result.err.splitlines()[0].split(": ", 2) + result.err.splitlines()[1:]
    assert place.startswith("run.yaml:") and what == "error" and len(shown) == 3, result.err
    assert shown[2].strip() in ("^", "^" + "~" * (len(shown[2].strip()) - 1))


def test_errors_print_once_on_several_ranks(flashrex, write_config):
    write_config(MINIMAL + "frction: 2\n")
    result = flashrex("check", "run.yaml", ranks=3)
    assert result.code == 2
    assert result.err.count("unknown key") == 1
    assert result.err.startswith("run.yaml:5:1: error: ")


def test_user_guide_has_the_reference_of_all_keys(flashrex):
    guide = (Path(__file__).parents[2] / "docs" / "user-guide.md").read_text()
    begin, end = "<!-- flashrex help config --markdown -->\n", "\n<!-- end -->"
    section = guide[guide.index(begin) + len(begin) : guide.index(end)]
    assert section.strip() == flashrex("help", "config", "--markdown").ok().out.strip()


def test_help_of_every_command(flashrex):
    overview = flashrex("--help").ok().out
    for command in ("run", "check", "info", "energy", "bench"):
        assert f"  {command} " in overview
        text = flashrex(command, "--help").ok().out
        assert f"Usage: flashrex {command}" in text and "Examples:" in text
        assert text == flashrex("help", command).ok().out
        assert max(map(len, text.splitlines())) <= 110
    for key in ("temperatures", "dt", "exchange_interval"):
        assert f"  {key}" in flashrex("help", "config").ok().out
    version = flashrex("--version").ok().out
    assert version.startswith("flashrex 0.") and "build " in version and "HDF5" in version


def test_wrong_command_lines(flashrex):
    for arguments, words in [
        (["rnu"], "unknown command 'rnu'"),
        (["chekc"], "did you mean 'check'?"),
        (["run"], "usage: flashrex run CONFIG"),
        (["energy", "--frame", "x", "s.h5"], "unknown option --frame; did you mean --frames?"),
        (["energy", "s.h5", "--frames"], "--frames needs a value"),
        (["energy", "s.h5", "t.h5"], "one argument too many: 't.h5'"),
        (["energy", "s.h5", "--precision", "half"], "--precision: 'half' is not possible"),
        (["energy", "s.h5", "--json=yes"], "--json takes no value"),
        (["bench", "s.h5", "--replicas", "0"], "--replicas: '0' is not possible"),
    ]:
        result = flashrex(*arguments)
        assert result.code == 2, arguments
        assert result.err.startswith("flashrex: error: ") and words in result.err, result.err
    result = flashrex("energy", "s.h5", ranks=2)
    assert result.code == 2 and "runs on one rank" in result.err


def test_user_guide_has_all_exit_codes():
    root = Path(__file__).parents[2]
    guide = (root / "docs" / "user-guide.md").read_text()
    codes = re.findall(r"^    X\(\w+, (\d+), ", (root / "src" / "core" / "status.h").read_text(), re.M)
    assert len(codes) > 10
    assert codes == re.findall(r"^\| (\d+) \| ", guide, re.M)


def test_paths_are_short_unless_a_link_is_in_them(flashrex, write_config, tmp_path):
    """`../out` in configs/run.yaml is `out`, but not if configs is a link: then it is beside the link's target."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "place" / "real").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "place" / "real")
    harmonic_wells(tmp_path / "wells.h5")
    text = "system: {}\noutput: ../out\ntemperatures: [300]\nn_timesteps: 10\n"
    write_config(text.format("../wells.h5"), "configs/run.yaml")
    write_config(text.format(tmp_path / "wells.h5"), "place/real/run.yaml")
    out = flashrex("run", "configs/run.yaml").ok().out
    assert "  output    out" in out and "  system    wells.h5" in out
    assert "  output    link/../out" in flashrex("run", "link/run.yaml").ok().out
    assert (tmp_path / "out").is_dir() and (tmp_path / "place" / "out").is_dir()
