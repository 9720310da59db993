"""What the documentation names is there: pages, sections and files of the project."""

import re

import pytest
from conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
FOLDERS = ["configs", "docs", "exchange", "io", "kernels", "slurm", "src", "tests", "tools"]
FILES = {path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*.*")} | {path.name for path in PAGES}


def sections(text):
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.M)}


def missing(path, text):
    """Links into nowhere, and `files` that are not there."""
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        page, _, section = link.partition("#")
        target = path.parent / page if page else path
        if not target.exists() or (section and section not in sections(target.read_text() if page else text)):
            yield link
    for name in re.findall(r"`([\w./-]+\.(?:c|h|cu|cuh|py|sh|md|cmake))`", text):
        if not ((ROOT / name).exists() or (path.parent / name).exists() if "/" in name else name in FILES):
            yield name


@pytest.mark.parametrize("path", PAGES, ids=[path.name for path in PAGES])
def test_nothing_is_missing(path):
    assert not list(missing(path, path.read_text()))


def test_what_is_missing_is_seen():
    text = "# A title, so\n[a](README.md) [b](none.md) [c](#a-title-so) [d](#b) [e](docs/theory.md#none) "
    text += "`src/x.c` `swap.c` `y.h`"
    assert list(missing(ROOT / "README.md", text)) == ["none.md", "#b", "docs/theory.md#none", "src/x.c", "y.h"]
