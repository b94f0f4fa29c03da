"""Shards that are too many to be indexed: their pictures are known by number, and a shard is read when one of its own is asked for."""

import json
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import overload

from ldmcli.data.captioned import CaptionedImage, CaptionedImages
from ldmcli.data.parquet import find_parquet, load_parquet
from ldmcli.data.remote_data import find_remote
from ldmcli.data.shards import Keys, find_shards, load_shards
from ldmcli.data.text_file import read_json
from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.runtime.urls import shown, url_of

COUNTS = "sizes.json"
"""Beside the shards: how many samples each has, by name; also what open_clip reads."""


class ShardImages(Sequence[CaptionedImage]):
    """The pictures of shards, `counts` of each. kept: shards whose members are remembered.

    Where a shard has fewer usable pictures than it is said to have, its first ones come again in the place of those.
    """

    def __init__(self, shards: Sequence[Path], counts: Sequence[int], keys: Keys, kept: int) -> None:
        self.shards, self.counts, self.keys, self.kept = list(shards), list(counts), keys, kept
        self.first = [0, *accumulate(self.counts)]
        self._members: OrderedDict[int, Sequence[CaptionedImage]] = OrderedDict()
        self._looking = threading.Lock()
        self._reading: dict[int, threading.Lock] = {}

    def __len__(self) -> int:
        return self.first[-1]

    @overload
    def __getitem__(self, number: int) -> CaptionedImage: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[CaptionedImage]: ...
    def __getitem__(self, number: int | slice) -> CaptionedImage | Sequence[CaptionedImage]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if not 0 <= number < len(self):
            raise IndexError(number)
        shard = bisect_right(self.first, number) - 1
        members = self.members(shard)
        return members[(number - self.first[shard]) % len(members)]

    def members(self, shard: int) -> Sequence[CaptionedImage]:
        """The usable pictures of a shard, which is got and read if it is not remembered. Raises LdmError for one without any."""
        with self._looking:
            if shard in self._members:
                self._members.move_to_end(shard)
                return self._members[shard]
            reading = self._reading.setdefault(shard, threading.Lock())
        with reading:  # of this shard alone: one that is got ahead keeps nobody waiting
            found = self._members.get(shard) or read_shard(self.shards[shard], self.keys)
        with self._looking:
            self._reading.pop(shard, None)
            self._members[shard] = found
            self._members.move_to_end(shard)
            while len(self._members) > self.kept:
                self._members.popitem(last=False)
        return found


def read_shard(path: Path, keys: Keys) -> Sequence[CaptionedImage]:
    """The usable pictures of one shard. Raises LdmError."""
    load = load_parquet if path.suffix == ".parquet" else load_shards
    return load(path, [path], keys=keys).images


def load_streamed(root: Path, *, split: str = "train", keys: Keys | None = None, limit: int | None = None, kept: int) -> CaptionedImages:
    """The shards that --data names, by what COUNTS beside them says; without it each is read once, and counted.

    limit: only the first so many pictures. Raises NotFound where there are no shards, LdmError for counts that cannot be.
    """
    shards, keys = _find(root, split), keys or Keys()
    stated = _stated(shards)
    counts = [len(read_shard(path, keys)) for path in shards] if stated is None else stated
    for shard, before in enumerate([0, *accumulate(counts)][:-1] if limit else ()):
        counts[shard] = max(min(counts[shard], limit - before), 0) if limit else 0
    kind = "Parquet files" if shards[0].suffix == ".parquet" else "WebDataset shards"
    if not sum(counts):
        raise LdmError(f"{shown(root)}: {len(shards)} {kind} without a picture.")
    return CaptionedImages(shown(root), ShardImages(shards, counts, keys, kept), layout=f"{len(shards)} {kind}, streamed")


def _find(root: Path, split: str) -> list[Path]:
    url = url_of(root)
    if url is not None:
        found = find_remote(url, split, copy=False)
        shards = found.tars or found.parquet
    else:
        shards = find_shards(root, split) or find_parquet(root, split)
    if not shards:
        raise NotFound(f"--data {shown(root)}: --stream reads .tar and .parquet shards, and there are none.", hint="Leave out --stream.")
    return shards


def _stated(shards: Sequence[Path]) -> list[int] | None:
    """What COUNTS says, or None without it. Raises UsageError for one that does not know all shards."""
    path = shards[0].parent / COUNTS
    try:
        stated = read_json(path)
    except NotFound:
        return None
    counts = [stated.get(shard.name) if isinstance(stated, dict) else None for shard in shards]
    for shard, count in zip(shards, counts, strict=True):
        if not isinstance(count, int) or count < 0:
            raise UsageError(f"{shown(path)} does not say how many pictures {shard.name} has.", hint=json.dumps({shard.name: 10000}))
    return [count for count in counts if isinstance(count, int)]
