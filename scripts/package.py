"""Build the source distribution and the wheel, install the wheel into a fresh environment outside of the repository, and use it there.

python scripts/package.py [-o dist] [--packages SITE_PACKAGES] [--tests tests/prompts tests/commands/test_option_names.py]

The wheel is built from the unpacked source distribution, so that neither leans on what only lies in the repository. Without --packages
the dependencies are downloaded with the versions of scripts/constraints.txt (gigabytes, for torch); with it those of another environment
are used. --tests: pytest runs these from the unpacked source distribution, with the packages of --packages or of this Python.
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

BUILD_SDIST = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"

PYTHON = "import ldmcli; ldmcli.load('bundled')('a dog', seed=1).save('dog.png')"
LIGHT = "import sys, ldmcli; heavy = {'torch', 'numpy', 'PIL', 'rich', 'typer'} & sys.modules.keys(); sys.exit(str(heavy) if heavy else 0)"

LICENCES = (
    "LICENSE",
    "LICENSES/Apache-2.0.txt",
    "LICENSES/CC-BY-4.0.txt",
    "LICENSES/Unicode-3.0.txt",
    "ldmcli/models/bundled/ATTRIBUTION.md",
)
IN_SDIST = (
    *LICENCES, "CHANGELOG.md", "README.md", "man/ldm.1", "tests/conftest.py", "tests/engine/tiny.py", "tests/commands/flags.txt",
    "scripts/constraints.txt", "scripts/venv", "scripts/checks/shape.py", "scripts/bundle/concepts.json", "ldmcli/py.typed",
)  # fmt: skip
IN_WHEEL = ("ldmcli/py.typed", "ldmcli/models/bundled/model_index.json", "ldmcli/reports/templates/base.css", "ldmcli/guide/options.md")


def run(command: list[object], cwd: Path, **more: str) -> str:
    """Say and run; its standard output. Ends the script where it fails."""
    print("$", *(str(part) if len(str(part)) < 90 else f"{str(part)[:87]}..." for part in command), file=sys.stderr)
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")} | more
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True, timeout=3600)
    if done.returncode:
        sys.exit(f"{done.stdout}error: that ended with {done.returncode}.")
    return done.stdout.strip()


def build(work: Path, output: Path) -> tuple[Path, Path, Path]:
    """(source distribution, the folder it unpacks to, wheel)."""
    output.mkdir(parents=True, exist_ok=True)
    name = run([sys.executable, "-c", BUILD_SDIST, output], ROOT).splitlines()[-1]
    with tarfile.open(output / name) as archive:
        archive.extractall(work, filter="data")
    unpacked = work / name.removesuffix(".tar.gz")
    shutil.rmtree(work / "wheel", ignore_errors=True)
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "-w", work / "wheel", unpacked], work)
    (wheel,) = (work / "wheel").glob("*.whl")
    return output / name, unpacked, Path(shutil.copy(wheel, output))


def missing(unpacked: Path, wheel: Path) -> Iterator[str]:
    """What should lie in the two and does not, and what should not."""
    yield from (f"the source distribution has no {name}" for name in IN_SDIST if not (unpacked / name).is_file())
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    ends = [*IN_WHEEL, *(f".dist-info/licenses/{name}" for name in LICENCES), *(f"share/man/man1/{page.name}" for page in man_pages())]
    yield from (f"the wheel has no {end}" for end in ends if not any(name.endswith(end) for name in names))
    yield from (f"the wheel has {name}" for name in names if name.startswith(("tests/", "scripts/", "man/")) or "__pycache__" in name)


def man_pages() -> list[Path]:
    """Those of the repository."""
    return sorted((ROOT / "man").glob("*.1"))


def fresh(work: Path, wheel: Path, packages: Path | None) -> Path:
    """An environment with the wheel; its folder of programs."""
    home = work / "venv"
    run([sys.executable, "-m", "venv", *(["--without-pip"] if packages else []), home], work)
    programs = home / "bin"
    if packages is None:
        constraints = ROOT / "scripts" / "constraints.txt"
        run([programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", constraints, wheel], work)
        return programs
    run([sys.executable, "-m", "pip", "--python", programs / "python", "install", "--quiet", "--no-deps", wheel], work)
    site = Path(run([programs / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], work))
    (site / "other.pth").write_text(f"{packages}\n")  # behind the own packages: this ldmcli is found first
    return programs


def use(programs: Path, work: Path) -> None:
    """What a new user types first, in an empty folder. Ends the script where something is missing."""
    place = work / "place"
    place.mkdir()
    offline = {"HF_HUB_OFFLINE": "1"}
    python, ldm = programs / "python", programs / "ldm"
    where = run([python, "-c", "import ldmcli; print(ldmcli.__file__)"], place)
    if not Path(where).is_relative_to(programs.parent):
        sys.exit(f"error: the installed ldmcli is {where}.")
    run([python, "-c", LIGHT], place)
    picture = run([ldm, "generate", "a dog", "-q"], place, **offline)
    if not (place / picture).is_file():
        sys.exit(f"error: no picture at {picture!r}.")
    for asked in (["help"], ["help", "batches"], ["help", "options", "generate"], ["--version"], ["generate", "--help"]):
        if len(run([ldm, *asked], place)) < 20:
            sys.exit(f"error: ldm {' '.join(asked)} says nothing.")
    run([python, "-c", PYTHON], place, **offline)
    if not (place / "dog.png").is_file():
        sys.exit("error: no dog.png.")
    pages = {page.name for page in (programs.parent / "share/man/man1").glob("*.1")}
    if pages != {page.name for page in man_pages()}:
        sys.exit(f"error: the installed man pages are {sorted(pages)}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--packages", type=Path, metavar="SITE_PACKAGES")
    parser.add_argument("--tests", nargs="+", default=[], metavar="PATH")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ldm-package-") as temporary:
        work = Path(temporary)
        source, unpacked, wheel = build(work, args.output.resolve())
        if said := list(missing(unpacked, wheel)):
            sys.exit("\n".join(f"error: {line}" for line in said))
        use(fresh(work, wheel, args.packages), work)
        if args.tests:
            packages = args.packages or Path(sysconfig.get_path("purelib"))
            paths = os.pathsep.join(map(str, (unpacked, packages)))
            print(run([sys.executable, "-m", "pytest", *args.tests], unpacked, PYTHONPATH=paths))
        for file in (source, wheel):
            print(f"{file}  {file.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
