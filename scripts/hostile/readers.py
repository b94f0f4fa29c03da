"""Every reader of a stranger's file, with whole files to begin with: what `scripts/fuzz` and the property tests run.

Each reader is the function that the commands call, on a file that lies in a folder of its own; it may raise LdmError and nothing else.
"""

import io
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import ldmcli.commands.requests  # noqa: F401  # the readers of prompts, with all that they import
from hostile import seeds
from hostile.mutations import spoilt
from ldmcli.config.generation import GenerateConfig
from ldmcli.config.reading import read_keys
from ldmcli.config.toml_file import read_config_file
from ldmcli.data.cache_entry import open_entry
from ldmcli.data.caption_file import read_caption_file
from ldmcli.data.layouts import load_captioned
from ldmcli.data.parquet import read_cell
from ldmcli.data.picture_captions import find_pairs
from ldmcli.data.picture_prompts import is_sheet, read_origin
from ldmcli.diffusion.schedule import schedule_from_file
from ldmcli.diffusion.solver import make_solver
from ldmcli.engine.generate.picture_record import check_size, read_record
from ldmcli.engine.generate.prompts_file import read_prompts
from ldmcli.engine.sampling.start_files import open_picture
from ldmcli.models.compvis_yaml import stated, stated_schedule
from ldmcli.models.corrections import network_config, read_config
from ldmcli.models.examples import example_prompts
from ldmcli.models.header import read_header
from ldmcli.models.layout import check_index, ldm_settings, read_json, shard_names
from ldmcli.models.lora import read_changes
from ldmcli.models.pickles import read_pickle
from ldmcli.models.scorer import BESIDE
from ldmcli.models.tokenizer import load_tokenizer
from ldmcli.models.weights import read_tensors
from ldmcli.outputs.manifest import Manifest
from ldmcli.prompts.parameters import read_parameters
from ldmcli.prompts.syntax import syntax_note, without_syntax
from ldmcli.prompts.weighting import parse_weights
from ldmcli.readers.tables import SCORER
from ldmcli.runtime.pictures import BadPicture
from ldmcli.training import checkpoints


@dataclass(frozen=True)
class Reader:
    """seeds: bodies to spoil, bytes or JSON; name: of the file; read: what the commands call with the folder; beside: other files there;
    wrap: what a spoilt body is put into."""

    seeds: tuple[Any, ...]
    name: str
    read: Callable[[Path], object]
    beside: Mapping[str, bytes] | None = None
    wrap: Callable[[bytes], bytes] = bytes

    def prepare(self, folder: Path) -> None:
        """An empty folder with what stands beside the file."""
        shutil.rmtree(folder, ignore_errors=True)
        for name, body in {**(self.beside or {}), self.name: b""}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(body)

    def take(self, folder: Path, body: bytes) -> object:
        """Put the file there and read it."""
        (folder / self.name).write_bytes(self.wrap(body))
        return self.read(folder)

    def input(self, draw: Any) -> bytes:
        """A spoilt body."""
        return spoilt(draw.choice(self.seeds), draw)


def _tokenizer(folder: Path) -> None:
    tokenizer = load_tokenizer(folder, 77)
    tokenizer.encode("a Dog <cat> caf\u00e9 <|endoftext|>")


def _scheduler(folder: Path) -> None:
    schedule = schedule_from_file(read_config(folder, "scheduler").values)
    make_solver("ddim", schedule, 10)


def _manifest(folder: Path) -> None:
    manifest = Manifest(folder)
    manifest.started("0" * 16, None)
    manifest.claim("1" * 16, seed=1, pictures=1, threads=1, free=lambda: 0)
    for row in manifest.pictures.values():
        manifest.finished(row)


def _parquet(folder: Path) -> None:
    for image in load_captioned(folder / "0.parquet").images:
        with suppress(BadPicture):
            read_cell(image)


def _toml(folder: Path) -> None:
    read_keys((GenerateConfig,), read_config_file(folder / "o.toml"), "o.toml", "generate")


def _record(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        check_size(folder / name, read_record(folder / name))

    return read


def _origin(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        is_sheet(folder / name)
        read_origin(folder / name)

    return read


def _text_of(read: Callable[[str], object]) -> Callable[[Path], None]:
    return lambda folder: read((folder / "text").read_text(encoding="utf-8", errors="replace")) and None


def _prompt(text: str) -> None:
    parse_weights(text)
    without_syntax(text, weighting="a1111")
    syntax_note([(text, "none")])


def _png_of(key: str) -> Callable[[bytes], bytes]:
    return lambda body: seeds.picture(texts={key: body.decode("utf-8", "replace").replace("\ufffd", "?")})


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 3), "float16"))
    return buffer.getvalue()


def _pickle() -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save({"state_dict": {"a.weight": torch.zeros(2, 3)}, "step": 7}, buffer)
    return buffer.getvalue()


def _networks(name: str) -> Reader:
    body = seeds.config(name, "config.json")
    return Reader((body,), f"{name}/config.json", lambda folder: network_config(folder, name))


def _captions(name: str, *bodies: Any) -> Reader:
    return Reader(bodies, name, lambda folder: read_caption_file(folder / name))


def _words(name: str, body: Any) -> Reader:
    files = {"vocab.json": json.dumps(seeds.VOCAB).encode(), "merges.txt": seeds.MERGES.encode(),
             "tokenizer_config.json": json.dumps(seeds.TOKENIZER_CONFIG).encode()}  # fmt: skip
    return Reader((body,), name, _tokenizer, {key: value for key, value in files.items() if key != name})


def _data(name: str, *bodies: Any) -> Reader:
    return Reader(bodies, name, load_captioned, {"1.png": seeds.picture(), "2.png": seeds.picture()})


def _lines(*rows: Any) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


_WHOLE = {"model": {"vocab": seeds.VOCAB, "merges": [["d", "o"], "do g</w>"]}, "added_tokens": [{"id": 516, **seeds.TOKEN}]}
_HEADER = seeds.safetensors({"model.diffusion_model.input_blocks.0.0.weight": (2, 3), "b": ()}, {"a": "b"})

READERS: dict[str, Reader] = {
    "model_index": Reader((seeds.config("model_index.json"),), "model_index.json", check_index),
    "_ldm": Reader((seeds.config("model_index.json"),), "model_index.json", lambda folder: (ldm_settings(folder), example_prompts(folder))),
    "unet": _networks("unet"),
    "vae": _networks("vae"),
    "text_encoder": _networks("text_encoder"),
    "scheduler": Reader((seeds.config("scheduler", "scheduler_config.json"),), "scheduler/scheduler_config.json", _scheduler),
    "tokenizer.json": Reader((_WHOLE,), "tokenizer.json", _tokenizer),
    "vocab.json": _words("vocab.json", seeds.VOCAB),
    "merges.txt": _words("merges.txt", seeds.MERGES.encode()),
    "tokenizer_config": _words("tokenizer_config.json", seeds.TOKENIZER_CONFIG),
    "special_tokens_map": _words("special_tokens_map.json", {"pad_token": "!", "eos_token": seeds.TOKEN}),
    "added_tokens": _words("added_tokens.json", {"<dog>": 517, "<cat>": 516}),
    "open_clip vocabulary": Reader((seeds.vocabulary(),), "v.gz", lambda folder: load_tokenizer(folder / "v.gz", 77)),
    "shard index": Reader(
        ({"weight_map": {"a": "m-1.safetensors"}},), "m.safetensors.index.json",
        lambda folder: shard_names(folder / "m.safetensors.index.json"),
    ),
    "safetensors": Reader(
        (_HEADER,), "w.safetensors", lambda folder: (read_header(folder / "w.safetensors"), read_tensors(folder / "w.safetensors"))
    ),
    "lora file": Reader((seeds.lora(seeds.LORA_SETTINGS),), "l.safetensors", lambda folder: read_changes(folder / "l.safetensors")),
    "lora settings": Reader(
        (seeds.LORA_SETTINGS,), "l.safetensors", lambda folder: read_changes(folder / "l.safetensors"),
        wrap=lambda body: seeds.lora(body.decode("utf-8", "replace")),
    ),
    "pickle": Reader((_pickle(),), "w.ckpt", lambda folder: read_pickle(folder / "w.ckpt")),
    "yaml": Reader(
        (seeds.YAML,), "m.yaml", lambda folder: (stated(folder / "m.safetensors"), stated_schedule(folder / "m.safetensors"))
    ),
    "scorer": Reader(
        (seeds.config("config.json", root=seeds.SCORER),), "config.json", lambda folder: read_json(folder / "config.json", SCORER)
    ),
    "scorer's processor": Reader(
        (seeds.config("preprocessor_config.json", root=seeds.SCORER),), "p.json",
        lambda folder: read_json(folder / "p.json", BESIDE["preprocessor_config.json"][0]),
    ),
    "checkpoint": Reader((seeds.MANIFEST,), "step-000003/manifest.json", checkpoints.newest),
    "cache entry": Reader(({"bad": {"3": "cut short"}},), "entry.json", open_entry, {"x.npy": _npy()}),
    "cached array": Reader((_npy(),), "x.npy", open_entry, {"entry.json": b"{}"}),
    "record in a PNG": Reader((seeds.RECORD,), "p.png", _record("p.png"), wrap=_png_of("ldm")),
    "picture of ours": Reader((seeds.picture(texts={"ldm": json.dumps(seeds.RECORD)}),), "p.png", _record("p.png")),
    "graph in a PNG": Reader((seeds.GRAPH,), "p.png", _origin("p.png"), wrap=_png_of("prompt")),
    "parameters": Reader((seeds.PARAMETERS.encode(),), "text", _text_of(read_parameters)),
    "prompt": Reader((b"a ((dog)), [cat:0.5] {a|b} (x:1.3) BREAK AND <lora:a:1>",), "text", _text_of(_prompt)),
    "caption of a picture": Reader((seeds.picture(texts={"parameters": seeds.PARAMETERS}),), "p.png", _origin("p.png")),
    **{
        kind: Reader((seeds.picture(kind),), "p", lambda folder: open_picture(folder / "p", "--init-image"))
        for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "TGA", "PPM", "ICO")
    },
    "prompts file": Reader(
        (_lines(seeds.PROMPT_LINE), b"a dog\n# no\na cat\n"), "p.txt", lambda folder: read_prompts(str(folder / "p.txt"), GenerateConfig())
    ),
    "prompt line": Reader((seeds.PROMPT_LINE,), "p.txt", lambda folder: read_prompts(str(folder / "p.txt"), GenerateConfig())),
    "captions .json": _captions("c.json", seeds.COCO, {"1.png": "a dog"}, [{"image": "1.png", "caption": ["a dog"]}]),
    "captions .jsonl": _captions("c.jsonl", _lines(seeds.ROW, seeds.ROW)),
    "captions .csv": _captions("c.csv", b'image,caption\n1.png,"a dog, asleep"\n'),
    "captions .txt": _captions("c.txt", b"1.png\ta dog\n2.png\ta cat\n"),
    "COCO": _data("captions_train2017.json", seeds.COCO),
    "Karpathy": _data("dataset_coco.json", seeds.KARPATHY),
    "metadata.jsonl": _data("metadata.jsonl", _lines(seeds.ROW, seeds.ROW | {"file_name": "2.png"}), seeds.ROW),
    "metadata.csv": _data("metadata.csv", b"file_name,text\n1.png,a dog\n2.png,a cat\n"),
    **({"Parquet": Reader((seeds.rows(),), "0.parquet", _parquet)} if find_spec("pyarrow") else {}),
    "tar shard": Reader((seeds.shard(),), "000.tar", load_captioned),
    "manifest": Reader((_lines(seeds.MANIFEST_ROW), seeds.MANIFEST_ROW), "manifest.jsonl", _manifest),
    "manifest for scores": Reader((seeds.MANIFEST_ROW,), "manifest.jsonl", lambda folder: find_pairs([folder]), {"0.png": seeds.picture()}),
    "TOML": Reader((seeds.TOML,), "o.toml", _toml),
}  # fmt: skip
