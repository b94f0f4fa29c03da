"""A picture drawn again from its record, and compared."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.generate.picture_record import CONDITIONS, PictureRecord, read_record
from ldmcli.engine.generate.run import run_generate
from ldmcli.engine.requests import Request
from ldmcli.errors import LdmError
from ldmcli.models.hashes import weights_hash
from ldmcli.models.source import Source
from ldmcli.models.tokenizer import load_tokenizer
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Progress
from ldmcli.records.pictures import PICTURE_SCHEMA, SCHEMA_CHANGES, Otherwise, Verified
from ldmcli.runtime.pictures import OUR_PIXELS, open_picture


def replay_picture(path: Path, recorded: PictureRecord, config: GenerateConfig, request: Request, source: Source) -> Iterator[Event]:
    """Draw it again. Yields what drawing yields, after a warning where the weights are others."""
    others = other_weights(path, recorded, source)
    if others:
        yield Note(f"{others} Expect another picture.", warning=True)
    if recorded.schema < PICTURE_SCHEMA:
        yield Note(other_schema(path, recorded), warning=True)
    yield from run_generate(config, source, [request])


def verify_picture(path: Path, recorded: PictureRecord, request: Request, source: Source) -> Iterator[Event]:
    """Draw it again into a folder that is thrown away. Yields what drawing says, and a Verified last."""
    others = other_weights(path, recorded, source)
    if others:
        raise LdmError(others, hint="Name the model that drew it with -m.")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "again.png"
        for event in run_generate(replace(request.config, output=str(target)), source, [request]):
            if isinstance(event, Note | Progress):
                yield event
        with open_picture(target, max_pixels=OUR_PIXELS) as again:
            difference = largest_difference(again, path)
        yield Verified(str(path), difference, differs_in(recorded, read_record(target)) if difference != 0 else ())


def differs_in(then: PictureRecord, now: PictureRecord) -> tuple[Otherwise, ...]:
    """The conditions that the records of two drawings of one picture do not share, in the order of CONDITIONS."""
    pairs = [(words, then.conditions.get(key), now.conditions.get(key)) for key, words in CONDITIONS.items()]
    return tuple(Otherwise(words, _text(first), _text(second)) for words, first, second in pairs if first != second)


def _text(value: str | int | None) -> str | None:
    return None if value is None else str(value)[:80]


def other_schema(path: Path, recorded: PictureRecord) -> str:
    """What is drawn otherwise since the schema of this picture, in sentences."""
    changes = [SCHEMA_CHANGES[number] for number in range(recorded.schema + 1, PICTURE_SCHEMA + 1)]
    return f"{path} is of schema {recorded.schema}, and this version draws schema {PICTURE_SCHEMA}: {' '.join(changes)}"


def other_weights(path: Path, recorded: PictureRecord, source: Source) -> str:
    """A sentence when the model's weights are not those that drew the picture, else nothing."""
    found = weights_hash(source.path, "unet", **source.picking)
    if found == recorded.unet_sha256:
        return other_vae(path, recorded, source) or other_tokenizer(path, recorded, source) or other_loras(path, recorded, source)
    return f"{source.name} has other weights (sha256 {found[:10]}) than those that drew {path} ({recorded.unet_sha256[:10]})."


def other_vae(path: Path, recorded: PictureRecord, source: Source) -> str:
    """A sentence when the picture was drawn with --vae and this is not that one, or the other way round."""
    used = None if source.vae == source.path else weights_hash(source.vae, "vae", **source.picking)
    if used == recorded.vae_sha256:
        return ""
    if recorded.vae_sha256 is None:
        return f"{path} was drawn with the model's own VAE, not with the one of --vae."
    return f"{path} was drawn with another VAE (sha256 {recorded.vae_sha256[:10]}); it must be named with --vae."


def other_tokenizer(path: Path, recorded: PictureRecord, source: Source) -> str:
    """A sentence when the picture's prompt was cut into words by another tokenizer than this one."""
    if recorded.tokenizer_sha256 is None or load_tokenizer(source.tokenizer, 77).sha256 == recorded.tokenizer_sha256:
        return ""
    return f"{path} was drawn with another tokenizer (sha256 {recorded.tokenizer_sha256[:10]}); it must be named with --tokenizer."


def other_loras(path: Path, recorded: PictureRecord, source: Source) -> str:
    """A sentence when the picture was drawn with other LoRAs than those of --lora, or at other scales, or in another order."""
    if [(lora.sha256, lora.scale) for lora in source.loras] == [(sha256, scale) for _, sha256, scale in recorded.loras]:
        return ""
    if not recorded.loras:
        return f"{path} was drawn without a LoRA."
    used = ", ".join(f"{name}:{scale:g} (sha256 {sha256[:10]})" for name, sha256, scale in recorded.loras)
    return f"{path} was drawn with {used}; name the files, with these scales, with --lora."


def largest_difference(ours: Image.Image, path: Path) -> int | None:
    """Largest difference of any channel of any pixel, 0 to 255; None when the sizes differ."""
    with open_picture(path, max_pixels=OUR_PIXELS) as theirs:
        first, second = np.asarray(ours.convert("RGB"), dtype=int), np.asarray(theirs.convert("RGB"), dtype=int)
    return int(abs(first - second).max()) if first.shape == second.shape else None
