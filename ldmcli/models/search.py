"""Weights and tokenizers by their hash: a picture records which ones drew it, and never where they lie. Nothing is downloaded."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from ldmcli.errors import LdmError
from ldmcli.models.hashes import weights_hash
from ldmcli.models.layout import PICKLES
from ldmcli.models.source import find_tokenizer


def cached_snapshots() -> list[Path]:
    """Of every model in the hub cache."""
    from huggingface_hub import constants

    return sorted(Path(constants.HF_HUB_CACHE).glob("models--*/snapshots/*"))


def find_weights(sha256: str, folders: Iterable[Path], *, allow_pickle: bool = False) -> Path | None:
    """The model whose U-Net has this hash, or the file that has it: in these folders, then in the hub cache."""
    for model in _models([*folders, *cached_snapshots()], allow_pickle=allow_pickle):
        try:
            if weights_hash(model, "unet", allow_pickle=allow_pickle) == sha256:
                return model
        except (LdmError, OSError):  # unfinished, damaged or not readable: not the one
            continue
    return None


def is_model(folder: Path) -> bool:
    """Whether it has a U-Net, or is a training run that has."""
    return (folder / "unet").is_dir() or (folder / "model" / "unet").is_dir()


def find_vocabulary(sha256: str, folders: Iterable[Path]) -> Path | None:
    """The tokenizer with this hash: in these folders or their tokenizer/, then where CLIP's usually is, then in the hub cache."""
    from ldmcli.models.tokenizer import load_tokenizer

    for folder in _tokenizers(folders):
        try:
            if load_tokenizer(folder, 77).sha256 == sha256:
                return folder
        except (LdmError, OSError):
            continue
    return None


def _models(folders: Iterable[Path], *, allow_pickle: bool) -> Iterator[Path]:
    """Models and checkpoint files that may be there, each once."""
    endings = (".safetensors", *(PICKLES if allow_pickle else ()))
    seen: set[Path] = set()
    for folder in folders:
        inside = sorted(folder.iterdir()) if folder.is_dir() else []
        for path in (folder, *inside):
            if path in seen:
                continue
            seen.add(path)
            if path.is_dir() and is_model(path):
                yield path if (path / "unet").is_dir() else path / "model"
            elif path.is_file() and path.suffix.lower() in endings:
                yield path


def _tokenizers(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        for place in (folder / "tokenizer", folder):
            if (place / "vocab.json").is_file() or (place / "tokenizer.json").is_file():
                yield place
    try:
        yield find_tokenizer(None)
    except LdmError:
        pass
    for folder in cached_snapshots():
        if (folder / "tokenizer").is_dir() or (folder / "vocab.json").is_file():
            yield folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder
