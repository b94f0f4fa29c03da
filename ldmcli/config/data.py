"""Captioned pictures: where they are, and which of them."""

from dataclasses import dataclass
from pathlib import Path

from ldmcli.config.option import option
from ldmcli.config.options import Options


@dataclass(frozen=True, kw_only=True)
class CaptionedOptions(Options, group="Data"):
    """Of every command that reads captions: all layouts."""

    data: Path | None = option(
        None,
        "--data",
        metavar="DIR",
        help="Captioned pictures, here or at a URL: COCO, Karpathy, metadata.jsonl, .txt captions, tar or Parquet shards.",
    )
    limit: int | None = option(None, "--limit", "--max-train-samples", metavar="N", help="Use only the first so many pictures.", at_least=1)
