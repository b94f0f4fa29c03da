"""What data are, as short hashes. Imports no torch, so that a run that goes on can be compared at once."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from ldmcli.data.captioned import CaptionedImage, CaptionedImages
from ldmcli.data.streamed import ShardImages
from ldmcli.runtime.remote_cache import size_and_time


def fingerprint(*parts: object) -> str:
    """Hash of anything with a stable str(): 16 hex digits."""
    return hashlib.blake2b("\0".join(str(p) for p in parts).encode(errors="surrogateescape"), digest_size=8).hexdigest()


def data_fingerprint(data: CaptionedImages) -> str:
    """Changes when a picture's name, its size in bytes, its place or a caption changes, and not with the time of a file: a fresh copy on
    another machine is the same data."""
    return _fingerprint(data, lambda path: size_and_time(path)[0])


def timed_fingerprint(data: CaptionedImages) -> str:
    """As data_fingerprint, and changes with the time of a file too: a cache must not outlive a picture that was painted over."""
    return _fingerprint(data, size_and_time)


def _fingerprint(data: CaptionedImages, of_file: Callable[[Path], object]) -> str:
    """A shard is asked once for what it is; of those that are streamed the captions are not known."""
    if isinstance(data.images, ShardImages):
        shards = zip(data.images.shards, data.images.counts, strict=True)
        return fingerprint(*((path.name, of_file(path), count) for path, count in shards))
    stats: dict[Path, object] = {}

    def of(image: CaptionedImage) -> tuple[object, ...]:
        stat = stats[image.path] if image.path in stats else stats.setdefault(image.path, of_file(image.path))
        return (image.path.name, stat, image.captions, *((image.span or image.cell,) if image.in_shard else ()))

    return fingerprint(*map(of, data.images))
