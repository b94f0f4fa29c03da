"""One job on many machines that do not talk to each other: which part of it this one does. Knows no torch."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ldmcli.errors import UsageError

PARTS = "1/4 is the first of four parts, auto asks SLURM, Kubernetes or AWS Batch."


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count`, counted from 1. told_by: what said so."""

    number: int
    count: int
    told_by: str

    def __contains__(self, piece: object) -> bool:
        """Whether a piece of the job belongs to it: pieces are dealt out like cards."""
        return isinstance(piece, int) and piece % self.count == self.number - 1


def find_shard(text: str, environment: Mapping[str, str] | None = None) -> Shard:
    """`2/7`, `auto`, or `auto/7` where the environment says which part it is and not of how many. Raises UsageError."""
    if match := re.fullmatch(r"(\d{1,9})/(\d{1,9})", text):
        number, count, told_by = int(match[1]), int(match[2]), "--shard"
    elif match := re.fullmatch(r"auto(?:/(\d{1,9}))?", text):
        number, count, told_by = _from_environment(os.environ if environment is None else environment, match[1])
    else:
        raise UsageError(f"--shard {text}: I/N or auto is needed.", hint=PARTS)
    if not 1 <= number <= count:
        raise UsageError(f"--shard {text}: there is no part {number} of {count} ({told_by}).", hint=PARTS)
    return Shard(number, count, told_by)


def check_shard(text: str) -> str:
    """The same words. Raises UsageError for what names no part."""
    find_shard(text)
    return text


def _from_environment(said: Mapping[str, str], count: str | None) -> tuple[int, int, str]:
    """The number from 1, of how many, and which variable says it."""
    try:
        if "SLURM_ARRAY_TASK_ID" in said:
            return _of_slurm({key: int(said[f"SLURM_ARRAY_TASK_{key}"]) for key in ("ID", "COUNT", "MIN", "MAX")})
        for name, total in (("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"), ("JOB_COMPLETION_INDEX", None)):
            if name in said:
                whole = count or (said[total] if total else None)
                if whole is None:
                    hint = "Type --shard auto/N, with N the completions of the Job."
                    raise UsageError(f"--shard auto: {name} says which part this is, and nothing of how many.", hint=hint)
                return int(said[name]) + 1, int(whole), f"{name}={said[name]}"
    except (KeyError, ValueError) as error:
        hint = "Name the part: --shard 2/7."
        raise UsageError(f"--shard auto: the variables of the array cannot be read: {error}.", hint=hint) from error
    raise UsageError("--shard auto: no variable of an array of jobs is set.", hint=PARTS)


def _of_slurm(array: dict[str, int]) -> tuple[int, int, str]:
    """--array=0-6, 1-7 or 0-12:2. Raises UsageError for one with gaps of different widths, such as 1,5,6."""
    told_by, above = f"SLURM_ARRAY_TASK_ID={array['ID']}", array["ID"] - array["MIN"]
    step, rest = divmod(array["MAX"] - array["MIN"], array["COUNT"] - 1) if array["COUNT"] > 1 else (1, 0)
    if rest or step < 1 or above % step:
        raise UsageError(f"--shard auto: {told_by} is of an array with gaps.", hint="Use --array=1-N, or name the part: --shard 2/7.")
    return above // step + 1, array["COUNT"], told_by
