"""How many pictures of a run train, how many are held out, and whether the first fill a batch. Imports no torch, so that too few are told
at once."""

from ldmcli.config.training import TrainConfig
from ldmcli.data.captioned import CaptionedImages
from ldmcli.errors import LdmError, UsageError
from ldmcli.runtime.launcher import process_count


def held_out_count(pictures: int, share: float) -> int:
    """How many are kept for validation: at least one unless share is 0, and at most 256."""
    return min(max(round(pictures * share), 1), 256) if share else 0


def check_enough(train: int, held_out: int, config: TrainConfig, processes: int) -> None:
    """Raise UsageError that names the way out unless `train` pictures fill a batch; held_out: what is kept from them."""
    if not train + held_out:
        raise LdmError("no picture of the data can be used.", hint=f"{config.output / 'skipped.jsonl'} says why of each.")
    parts = config.grad_accum * processes
    per_step = (1 if config.auto_batch else config.batch_size) * parts
    if train >= per_step:
        return
    fits, whole = train // parts, (train + held_out) // parts
    ways = [f"--batch-size {fits}"] if fits else []
    if held_out and whole > fits:
        ways.append("--held-out 0" + ("" if train + held_out >= per_step else f" --batch-size {whole}"))
    if not ways:
        ways = [*(["a smaller --grad-accum"] if config.grad_accum > 1 else []), *(["fewer processes"] if processes > 1 else [])]
    kept = f", and {held_out} held out for validation" if held_out else ""
    raise UsageError(
        f"{train} {'picture does' if train == 1 else 'pictures do'} not fill one batch of {per_step}{kept}.",
        hint=f"Use {', or '.join([*ways, 'more data'])}.",
    )


def check_listed(config: TrainConfig, data: CaptionedImages) -> None:
    """`check_enough` of all pictures that were found, before one is looked at: some may turn out to be unusable, and then it is asked
    again. A plan holds none out, and is for the processes that it names."""
    if config.dry_run:
        check_enough(len(data), 0, config, config.planned_processes)
    else:
        held_out = held_out_count(len(data), config.held_out)
        check_enough(len(data) - held_out, held_out, config, process_count())
