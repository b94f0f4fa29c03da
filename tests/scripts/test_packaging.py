"""What a wheel says of itself is true: versions, licences, man pages. scripts/package.py builds one and uses it."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import man_pages  # noqa: E402
from ldmcli import __version__  # noqa: E402
from ldmcli.commands.app import SUMMARIES, load_command  # noqa: E402

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGES = man_pages.pages()


def test_the_versions_of_python_are_those_that_the_installer_takes():
    taken = re.search(r"\((\d), (\d+)\) <= sys.version_info\[:2\] <= \((\d), (\d+)\)", (ROOT / "scripts/venv").read_text())
    low, high = int(taken[2]), int(taken[4])
    assert PROJECT["requires-python"] == f">=3.{low},<3.{high + 1}"
    said = [name.rpartition(".")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)]
    assert said == [str(minor) for minor in range(low, high + 1)]


def test_every_licence_of_the_expression_has_its_text():
    texts = [path for pattern in PROJECT["license-files"] for path in ROOT.glob(pattern)]
    others = set(PROJECT["license"].split(" AND ")) - {"MIT"}
    assert ROOT / "LICENSE" in texts and {path.stem for path in texts if path.parent.name == "LICENSES"} == others
    attribution = (ROOT / "ldmcli/models/bundled/ATTRIBUTION.md").read_text(encoding="utf-8")
    names = {"Apache-2.0": "Apache License 2.0", "CC-BY-4.0": "CC-BY 4.0", "Unicode-3.0": "Unicode License v3"}
    assert others == names.keys() and all(name in attribution for name in names.values())


def test_the_package_is_typed_and_its_version_stands_in_one_place():
    assert (ROOT / "ldmcli/py.typed").is_file() and "version" not in PROJECT and "version" in PROJECT["dynamic"]
    assert "urls" not in PROJECT  # there is none


def test_the_man_pages_are_not_stale(monkeypatch, capsys):
    """After a change of the options: python scripts/man_pages.py"""
    monkeypatch.setattr(sys, "argv", ["man_pages.py", "--check"])
    assert man_pages.main() == 0, capsys.readouterr().err
    monkeypatch.setattr(man_pages, "__version__", "9.9")
    assert man_pages.main() == 1 and "man/ldm.1 is stale" in capsys.readouterr().err


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_page_has_every_option_of_its_command(name):
    page = PAGES[f"ldm-{name}.1"].replace("\\-", "-")
    flags = [flag for each in load_command(name).options for part in each.flags for flag in part.split("/")]
    assert [flag for flag in flags if flag not in page] == [] and f"ldm {__version__}" in page


def test_text_never_becomes_a_request():
    assert man_pages.line(".TH x") == "\\&.TH x" and man_pages.line("'tis") == "\\&\\(aqtis" and man_pages.escaped("a\\b-c") == "a\\eb\\-c"


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_mandoc_finds_no_error_and_only_the_date_missing(tmp_path):
    for name, text in PAGES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *PAGES], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert [line for line in done.stdout.splitlines() if "missing date" not in line] == []
