"""What --resume and --config mean for the options of a training command: a run that goes on has a record of its own options."""

from pathlib import Path
from typing import Any

from ldmcli.config_file import read_config_file
from ldmcli.errors import NotFound, UsageError

RECORD = "config.toml"
RECORDED = {"data_fingerprint", "init_sha256"}
"""What a run's record holds beside options."""
OF_ONE_START = {"resume", "force", "dry_run"}
"""Options of one start of a run; its record has them, and the next start does without."""
INSTEAD = {"epochs": "max_steps", "cache": "no_cache", "no_cache": "cache"}
"""An option, and the one that it takes the place of where that was stated further away."""
NEWEST = ("auto", "latest")

Options = dict[str, Any]


def from_files(flags: Options, config: Path | None, known: set[str], command: str) -> Options:
    """What --config and the record of the run that --resume names state: the file over the record, and nothing that a flag replaces.

    flags: as they were typed; known: the options of the command. Raises UsageError and NotFound.
    """
    stated = _options(config, known, command, going_on="resume" in flags) if config else {}
    typed = over(stated, flags)
    record: Options = {}
    if run := _run_to_go_on(typed):
        record = _options(run / RECORD, known, command, going_on=True)
        if typed["resume"] not in NEWEST and Path(typed["resume"]) != run:
            record.pop("output")  # one of its checkpoints begins a run of its own
    return {key: value for key, value in over(record, typed).items() if key not in flags}


def over(lower: Options, upper: Options) -> Options:
    """Both, the upper where they disagree."""
    replaced = {INSTEAD[key] for key in INSTEAD.keys() & upper.keys()}
    return {**{key: value for key, value in lower.items() if key not in replaced}, **upper}


def newest_of_itself(options: Options) -> Options:
    """The same with `auto` where --resume names the very run that goes on."""
    resume = options.get("resume")
    own = resume not in (None, *NEWEST) and "output" in options and Path(resume) == Path(options["output"])
    return {**options, "resume": "auto"} if own else options


def _run_to_go_on(typed: Options) -> Path | None:
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


def _options(path: Path, known: set[str], command: str, *, going_on: bool) -> Options:
    """A file's options. A run's record is known by its fingerprint; it goes on where it lies, not where it was first written."""
    stated = read_config_file(path)
    recorded = bool(RECORDED & stated.keys())
    if recorded:
        stated = {key: value for key, value in stated.items() if key not in RECORDED | OF_ONE_START}
        if going_on and path.name == RECORD:
            stated["output"] = str(path.parent)
    for key in stated.keys() - known:
        other = " It is the record of another command's run." if recorded else ""
        raise UsageError(f"--config {path}: {key!r} is not an option of {command}.{other}")
    return stated
