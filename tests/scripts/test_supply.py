"""What scripts/supply says of the packages beside ldm: no silence is taken for an answer, and hashes are those of the pins."""

import json
import re
import sys
from pathlib import Path

import pytest
from running import finished

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import audit_report  # noqa: E402

FINE = {"name": "rich", "version": "15.0.0", "vulns": []}
BAD = {
    "name": "pillow",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-2020-1", "fix_versions": ["2.0", "2.1"]}, {"id": "X-1", "fix_versions": []}],
}
SKIPPED = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.13.0)"}


@pytest.mark.parametrize(
    ("pins", "code", "lines"),
    [
        ([FINE], 0, ["1 of 1 pins were checked; known holes in them: 0."]),
        ([SKIPPED], 3, ["1 of 1 pins could NOT be checked, nothing is known about them: torch."]),
        (
            [FINE, SKIPPED],
            3,
            ["1 of 2 pins were checked; known holes in them: 0.", "1 of 2 pins could NOT be checked, nothing is known about them: torch."],
        ),
        (
            [FINE, BAD],
            1,
            [
                "pillow 1.0: PYSEC-2020-1, mended in 2.0, 2.1",
                "pillow 1.0: X-1, mended in none",
                "2 of 2 pins were checked; known holes in them: 2.",
            ],
        ),
        ([], 3, ["No pin was checked: pip-audit saw none."]),
    ],
)
def test_an_audit_says_what_it_checked_and_what_not(pins, code, lines):
    assert audit_report.report(json.dumps({"dependencies": pins, "fixes": []})) == (code, lines)


@pytest.mark.parametrize("text", ["", "No known vulnerabilities found", "[]", "{}"])
def test_an_audit_without_an_answer_is_none(text):
    code, lines = audit_report.report(text)
    assert code == 3 and lines == ["No pin was checked: pip-audit came to no answer. Nothing is known about holes."]


def pins(text: str) -> dict[str, str]:
    """Of a requirements file, name to version, names as PyPI compares them."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE)}


def test_the_hashes_are_of_the_pins_and_torch_has_none():
    constraints, hashed = (pins((ROOT / "scripts" / name).read_text()) for name in ("constraints.txt", "hashes.txt"))
    assert constraints.pop("torch") and hashed == constraints, "scripts/supply hashes"
    blocks = re.split(r"\n(?=\w)", (ROOT / "scripts" / "hashes.txt").read_text().partition("\n")[2].strip())
    assert len(blocks) == len(hashed)
    for block in blocks:
        _, *hashes = block.split(" \\\n    ")
        assert hashes and all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", line) for line in hashes), block


@pytest.mark.skipif(not (ROOT / ".venv/supply/bin/cyclonedx-py").is_file(), reason="the tools of scripts/supply are not installed")
@pytest.mark.slow
def test_the_bill_of_materials_names_what_is_installed(tmp_path):
    done = finished([ROOT / "scripts/supply", "sbom", tmp_path / "sbom.json"])
    assert done.returncode == 0, done.stderr  # cyclonedx-py refuses what the schema does
    bill = json.loads((tmp_path / "sbom.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "1.6", "ldm-cli")
    found = {re.sub(r"[-_.]+", "-", each["name"]).lower(): each["version"].partition("+")[0] for each in bill["components"]}
    wanted = pins((ROOT / "scripts/constraints.txt").read_text())
    assert {name: found.get(name) for name in ("torch", "pillow", "safetensors")} == {
        name: wanted[name] for name in ("torch", "pillow", "safetensors")
    }


def test_a_wrong_word_is_a_usage_error():
    done = finished([ROOT / "scripts/supply", "everything"])
    assert done.returncode == 2 and "scripts/supply audit" in done.stderr
