"""Every model that `-m` would take without a download: bundled, trained here, in the hub cache. Imports no torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ldmcli.errors import LdmError
from ldmcli.models.hub import cached_folder, cached_models
from ldmcli.models.layout import PARTS, check_index
from ldmcli.models.source import BUNDLED


@dataclass(frozen=True)
class Listed:
    """name: what -m takes; kind: bundled, run or hub; size_bytes: of the files; problem: why it cannot be used, None when it can."""

    name: str
    kind: str
    path: Path
    size_bytes: int
    problem: str | None


def list_models(runs: Path = Path("runs")) -> Iterator[Listed]:
    """Bundled, then the training runs below `runs`, then the hub cache, by name."""
    yield _listed("bundled", "bundled", BUNDLED)
    for run in sorted(runs.iterdir()) if runs.is_dir() else ():
        if (run / "model").is_dir():
            yield _listed(str(run), "run", run / "model")
    for repo, folder, size in cached_models():
        listed = _listed(repo, "hub", folder, size)
        if listed.problem is None and cached_folder(repo, PARTS) is None:
            listed = Listed(repo, "hub", folder, size, "not downloaded as a whole")
        yield listed


def _listed(name: str, kind: str, folder: Path, size: int | None = None) -> Listed:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if size is None else size
    missing = [part for part in PARTS if not (folder / part).exists()]
    problem = f"{', '.join(missing)} missing" if missing else None
    try:
        if "model_index.json" not in missing:
            check_index(folder)
    except LdmError as error:
        problem = error.message.removeprefix(f"{folder / 'model_index.json'}: ").removesuffix("; no code was run.")
    return Listed(name, kind, folder, size, problem)
