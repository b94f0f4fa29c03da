"""Which caption belongs to which picture: from the picture's own metadata, a manifest beside it, a captions file, or COCO."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ldmcli.data.captioned import PICTURES
from ldmcli.data.layouts import load_captioned
from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.picture_files import read_texts

NAME_KEYS = ("image", "path", "file_name", "filename", "file")
CAPTION_KEYS = ("caption", "captions", "prompt", "text")
WHAT_FITS = "JSON, JSON Lines, CSV with the columns image and caption, or text with a TAB between the two."


@dataclass(frozen=True)
class Pair:
    """A picture and one of its captions."""

    path: Path
    caption: str


@dataclass(frozen=True)
class Pairs:
    """In the order of the pictures. left_out: sentences. model: the one that all pictures' metadata name, if they agree."""

    pairs: tuple[Pair, ...]
    left_out: tuple[str, ...] = ()
    model: str | None = None


def find_pairs(inputs: Sequence[Path], *, captions: Path | None = None, data: Path | None = None, limit: int | None = None) -> Pairs:
    """The pictures of the inputs (files and folders) with their captions. Without inputs, COCO's own pictures. limit: so many pictures.

    Raises NotFound for what is not there, UsageError for a picture named on the command line that has no caption.
    """
    if data is not None:
        known = _coco_captions(data)
        if not inputs:
            files = [Path(name) for name in known]
            return _joined(files[:limit], known, str(data), set())
        return _joined(picture_files(inputs)[:limit], {Path(name).stem: texts for name, texts in known.items()}, str(data), set(inputs))
    files = picture_files(inputs)[:limit]
    if captions is not None:
        return _joined(files, _read_captions(captions, files), str(captions), set(inputs))
    return _joined(files, None, "its metadata or a manifest", set(inputs))


def _joined(files: Sequence[Path], known: dict[str, list[str]] | None, source: str, named: set[Path]) -> Pairs:
    """known: captions by path, file name or stem; None reads metadata and manifests."""
    pairs, bare, models = [], [], set()
    manifests: dict[Path, dict[str, list[str]]] = {}
    for path in files:
        prompt, model = _metadata(path)
        models.add(model)
        if known is not None:
            texts = next((known[key] for key in (str(path), path.name, path.stem) if key in known), [])
        else:
            if prompt is None and path.parent not in manifests:
                manifests[path.parent] = _manifest(path.parent)
            texts = [prompt] if prompt is not None else manifests[path.parent].get(path.name, [])
        texts = [text for text in texts if text.strip()]
        if not texts:
            if path in named:
                raise UsageError(f"{path} has no caption in {source}.", hint="Name the captions with --captions FILE.")
            bare.append(path)
        pairs += [Pair(path, text) for text in texts]
    if not pairs:
        raise NotFound(f"none of {len(files)} pictures has a caption in {source}.", hint="Name the captions with --captions FILE.")
    left_out = (f"{len(bare)} pictures without a caption left out, {bare[0].name} for one.",) if bare else ()
    return Pairs(tuple(pairs), left_out, models.pop() if len(models) == 1 else None)


def picture_files(inputs: Sequence[Path]) -> list[Path]:
    """Files as they are named, the pictures of folders in the order of their names."""
    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES and not file.name.startswith("."))
            if not inside:
                raise NotFound(f"{path} holds no pictures ({', '.join(PICTURES)}).")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise NotFound(f"{path}: no such picture or folder.")
    return list(dict.fromkeys(found))


def _metadata(path: Path) -> tuple[str | None, str | None]:
    """(prompt, model) that a picture records: our own chunk, else the `parameters` of Stable Diffusion web UIs."""
    try:
        with Image.open(path) as picture:
            texts = read_texts(picture)
            if "ldm" in texts:
                facts = json.loads(texts["ldm"])
                return _text(facts.get("prompt")), _text(facts.get("model"))
            if "parameters" in texts:
                return texts["parameters"].split("\nNegative prompt:")[0].split("\nSteps:")[0], None
    except Exception:  # damaged pictures make Pillow raise almost anything; they are reported where they are scored
        return None, None
    return None, None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _manifest(folder: Path) -> dict[str, list[str]]:
    """Prompts by file name; a line that a kill cut short is skipped, the newest line of a file wins."""
    path = folder / "manifest.jsonl"
    prompts = {}
    for line in path.read_bytes().split(b"\n") if path.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("path"), str) and isinstance(row.get("prompt"), str):
            prompts[row["path"]] = [row["prompt"]]
    return prompts


def _coco_captions(data: Path) -> dict[str, list[str]]:
    """Captions by the path of the data's own picture, in any layout; the validation split if it is there. Raises LdmError."""
    try:
        found = load_captioned(data, split="val")
    except NotFound:
        found = load_captioned(data)
    if any(image.span is not None for image in found.images):
        raise UsageError(f"--data {data}: the pictures lie in tar shards, and clipscore opens files.", hint="Unpack the shards first.")
    return {str(image.path): list(image.captions) for image in found.images}


def read_references(path: Path, files: Sequence[Path]) -> dict[Path, list[str]]:
    """The reference captions of each picture. Raises LdmError when one has none."""
    known = _read_captions(path, files)
    found = {file: next((known[key] for key in (str(file), file.name, file.stem) if key in known), []) for file in files}
    bare = [file for file, texts in found.items() if not texts]
    if bare:
        raise LdmError(f"{path} has no reference for {len(bare)} of {len(files)} pictures, {bare[0].name} for one.")
    return found


def _read_captions(path: Path, files: Sequence[Path]) -> dict[str, list[str]]:
    """Captions by the name that the file gives to a picture, and by its last part."""
    if path.is_dir():
        return {file.stem: [file.read_text(encoding="utf-8").strip()] for file in path.glob("*.txt")}
    try:
        rows = list(_rows(path, path.read_text(encoding="utf-8-sig"), files))
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file.") from error
    except (OSError, ValueError, KeyError, TypeError, csv.Error, RecursionError) as error:
        raise LdmError(f"{path} cannot be read as captions: {error}", hint=WHAT_FITS) from error
    known: dict[str, list[str]] = defaultdict(list)
    for name, texts in rows:
        for key in dict.fromkeys((name, Path(name).name)):
            known[key] += texts
    return dict(known)


def _rows(path: Path, text: str, files: Sequence[Path]) -> Iterable[tuple[str, list[str]]]:
    """(name, captions). Raises ValueError."""
    match path.suffix.lower():
        case ".json":
            body = json.loads(text)
            if isinstance(body, dict) and isinstance(body.get("annotations"), list):
                names = {row["id"]: row["file_name"] for row in body["images"]}
                return [(names[row["image_id"]], _captions(row["caption"])) for row in body["annotations"]]
            if isinstance(body, dict):
                return [(name, _captions(value)) for name, value in body.items()]
            return [_named(row) for row in body]
        case ".jsonl":
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
            return [_named(row) for row in rows if not (isinstance(row, dict) and row.get("event"))]
        case ".csv":
            return [_named(row) for row in csv.DictReader(io.StringIO(text, newline=""))]
        case ".txt" | ".tsv":
            lines = [line for line in text.split("\n") if line.strip()]
            if all("\t" in line for line in lines):
                return [(name.strip(), [caption.strip()]) for name, _, caption in (line.partition("\t") for line in lines)]
            if len(lines) != len(files):
                raise ValueError(f"{len(lines)} lines without names for {len(files)} pictures")
            return [(str(file), [line.strip()]) for file, line in zip(files, lines, strict=True)]
    raise ValueError(f"a {path.suffix or 'nameless'} file")


def _named(row: Any) -> tuple[str, list[str]]:
    if not isinstance(row, dict):
        raise ValueError(f"an entry is not an object: {str(row)[:60]}")
    name, caption = (next((row[key] for key in keys if row.get(key)), None) for keys in (NAME_KEYS, CAPTION_KEYS))
    if not isinstance(name, str) or caption is None:
        raise ValueError(f"an entry lacks image or caption: {str(row)[:60]}")
    return name, _captions(caption)


def _captions(value: Any) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"a caption is not a text: {str(value)[:60]}")
    return texts
