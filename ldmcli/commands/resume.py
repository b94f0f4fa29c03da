"""What --resume and --config mean for the options of a training command: a run that goes on has a record of its own options."""

from pathlib import Path
from typing import Any

from ldmcli.config.options import Options
from ldmcli.config.reading import read_keys
from ldmcli.config.toml_file import read_config_file
from ldmcli.config.training_groups import CheckpointOptions
from ldmcli.errors import NotFound, UsageError

RECORD = "config.toml"
RECORDED = {"data_fingerprint", "init_sha256"}
"""What a run's record holds beside options."""
OF_ONE_START = {"resume", "force", "dry_run", "planned_processes"}
"""Options of one start of a run; its record has them, and the next start does without."""
INSTEAD = {"epochs": "max_steps", "cache": "no_cache", "no_cache": "cache"}
"""An option, and the one that it takes the place of where that was stated further away."""
NEWEST = ("auto", "latest")

Values = dict[str, Any]


def read_stated(kinds: tuple[type[Options], ...], typed: Values, command: str) -> Values:
    """What --config states, by field. typed: the fields that flags and LDM_ variables set. Raises UsageError and NotFound."""
    config = typed.get("config")
    return _options(config, kinds, command, going_on="resume" in typed) if config is not None else {}


def read_record(kinds: tuple[type[Options], ...], merged: Values, command: str) -> Values:
    """What the record of the run that --resume names states, by field. merged: what --config, variables and flags set together.

    Raises UsageError and NotFound.
    """
    record: Values = {}
    trains = any(issubclass(kind, CheckpointOptions) for kind in kinds)  # elsewhere --resume means something else
    if trains and (run := _run_to_go_on(merged)):
        record = _options(run / RECORD, kinds, command, going_on=True)
        if merged["resume"] not in NEWEST and Path(merged["resume"]) != run:
            record.pop("output")  # one of its checkpoints begins a run of its own
    return record


def over(lower: Values, upper: Values) -> Values:
    """Both, the upper where they disagree."""
    replaced = {INSTEAD[key] for key in INSTEAD.keys() & upper.keys()}
    return {**{key: value for key, value in lower.items() if key not in replaced}, **upper}


def newest_of_itself(options: Values) -> Values:
    """The same with `auto` where --resume names the very run that goes on."""
    resume = options.get("resume")
    own = resume not in (None, *NEWEST) and "output" in options and Path(resume) == Path(options["output"])
    return {**options, "resume": "auto"} if own else options


def _run_to_go_on(typed: Values) -> Path | None:
    """The run whose record is to be read: the one that --resume names, or with `auto` that of -o where no data are named."""
    resume = typed.get("resume")
    if resume is None:
        return None
    if resume in NEWEST:
        run = Path(typed["output"]) if "output" in typed and "data" not in typed else None
        return run if run and (run / RECORD).is_file() else None
    path = Path(resume)
    if not path.is_dir():
        raise NotFound(f"--resume {path}: no such run or checkpoint.", hint="--resume auto goes on with the run of -o.")
    found = next((run for run in (path, path.parent.parent) if (run / RECORD).is_file() and (run / "checkpoints").is_dir()), None)
    if found is None and "data" not in typed:
        raise NotFound(f"--resume {path} is neither a run nor a checkpoint in one.", hint="Name a folder with config.toml and checkpoints.")
    return found


def _options(path: Path, kinds: tuple[type[Options], ...], command: str, *, going_on: bool) -> Values:
    """A file's options. A run's record is known by its fingerprint; it goes on where it lies, not where it was first written."""
    stated = read_config_file(path)
    recorded = bool(RECORDED & stated.keys())
    if recorded:
        stated = {key: value for key, value in stated.items() if key not in RECORDED | OF_ONE_START}
        if going_on and path.name == RECORD:
            stated["output"] = str(path.parent)
    try:
        return read_keys(kinds, stated, f"--config {path}", command)
    except UsageError as error:
        other = " It is the record of another command's run." if recorded and "is not an option of" in error.message else ""
        raise UsageError(f"{error.message}{other}", hint=error.hint) from error
