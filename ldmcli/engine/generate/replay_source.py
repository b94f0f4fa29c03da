"""What a picture was drawn from, found by what it records: model, tokenizer, pictures. Imports no torch unless it has to."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.generate.picture_record import PictureRecord
from ldmcli.errors import NotFound, UsageError
from ldmcli.models.search import find_vocabulary, find_weights, is_model
from ldmcli.models.source import Source, find_source
from ldmcli.outputs.manifest import checksum

MOST_FILES = 1000
"""Of a folder that are read to find one by its content."""


def find_recorded(path: Path, recorded: PictureRecord, config: GenerateConfig, *, model_given: bool) -> Source:
    """What -m names; without it, or where that is a folder of models, what has the recorded hashes: there, beside the picture, in the hub
    cache. Raises NotFound that names all that is missing.

    config: with the recorded name as its model, unless model_given. A name is looked up here, and never as a path.
    """
    folder = Path(os.path.expanduser(config.model))  # os.path takes any text, as a picture may record any
    many = model_given and os.path.isdir(folder) and not is_model(folder)
    plain = not model_given and Path(recorded.model).name == recorded.model
    tokenizer, missing, ways = config.tokenizer, [], []
    found: Path | str | None = config.model
    if many or not (model_given or recorded.model == "bundled" or (plain and os.path.exists(config.model))):
        places = [folder] if many else []
        found = find_weights(recorded.unet_sha256, [*places, path.parent], allow_pickle=config.allow_pickle)
        if found is None:
            missing.append(f"the model {recorded.model!r} (sha256 {recorded.unet_sha256[:10]})")
            ways.append("-m MODEL")
    if tokenizer is None and recorded.tokenizer_sha256 is not None:
        places = [*([folder] if many else []), path.parent, *([Path(found).parent] if found else [])]
        words = find_vocabulary(recorded.tokenizer_sha256, places)
        if words is None:
            missing.append(f"its tokenizer (sha256 {recorded.tokenizer_sha256[:10]})")
            ways.append("--tokenizer DIR")
        tokenizer = str(words) if words else None
    if missing:
        unknown = "" if plain or model_given else " A name with a folder in it is not looked up."
        raise NotFound(
            f"{path} was drawn with {' and '.join(missing)}, not found by hash in the hub cache or beside the picture.{unknown}",
            hint=f"Name {'it' if len(missing) == 1 else 'them'} with {' and '.join(ways)}.",
        )
    source = find_source(replace(config, model=str(found), tokenizer=tokenizer))
    return source if found == config.model else replace(source, name=recorded.model)


def find_files(path: Path, recorded: PictureRecord, typed: Mapping[str, Any]) -> dict[str, Path]:
    """The pictures that a picture started from, by option: what was typed, else what has the recorded content beside it or here.

    Raises NotFound that says what to name, and UsageError where what was typed has another content. typed: the options of the command line.
    """
    found = {}
    for option, (name, sha256) in recorded.files.items():
        flag = f"--{option.replace('_', '-')}"
        if option in typed:
            if checksum(typed[option]) != sha256:
                raise UsageError(
                    f"{path} started from another picture ({name}, sha256 {sha256[:10]}) than {flag} {typed[option]}.",
                    hint=f"Name that one, or leave out --from-image to start from {typed[option].name}.",
                )
            continue
        there = next((file for file in _candidates(name, (path.parent, Path())) if _holds(file, sha256)), None)
        if there is None:
            raise NotFound(
                f"{path} started from {name} (sha256 {sha256[:10]}), which is neither beside it nor in this folder.",
                hint=f"Name it with {flag}.",
            )
        found[option] = there
    return found


def _holds(file: Path, sha256: str) -> bool:
    try:
        return checksum(file) == sha256
    except OSError:
        return False


def _candidates(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    """Files of this name, which is never taken for a path; then the others with its ending, since files are renamed."""
    if Path(name).name == name:
        yield from (file for folder in folders if (file := folder / name).is_file())
    ending = Path(name).suffix.lower()
    for folder in folders:
        names = sorted(os.listdir(folder)) if os.access(folder, os.R_OK) else []
        others = (folder / each for each in names if Path(each).suffix.lower() == ending and (folder / each).is_file())
        yield from islice(others, MOST_FILES)
