"""Which training runs share their network out over the processes, and what does not go with that. Imports no torch."""

from ldmcli.config.training import TrainConfig, TrainUNetConfig
from ldmcli.errors import UsageError
from ldmcli.runtime.launcher import process_count
from ldmcli.runtime.sharding import USE_FSDP, Sharding, read_sharding, unsupported


def sharding_of(config: TrainConfig) -> Sharding | None:
    """How the network is to be shared out; None where every process holds all of it. Raises UsageError where that cannot be."""
    sharding = read_sharding()
    if sharding is None:
        return None
    if not isinstance(config, TrainUNetConfig):
        raise unsupported("FSDP", USE_FSDP, "train-vae")
    wrong = {
        "--lora-rank": (config.lora_rank is not None, "Adapters take little memory: leave out FSDP, or train the weights themselves."),
        "--compile": (config.compile, "Leave out one of them."),
        "--batch-size auto": (config.auto_batch, "Give a number."),
        "--optimizer muon": (config.optimizer == "muon", "Its matrices are multiplied whole: leave out one of them."),
        "--mixed-precision fp16": (config.mixed_precision == "fp16", "Use bf16 or no."),
    }
    for option, (given, hint) in wrong.items():
        if given:
            raise UsageError(f"{option} does not go with FSDP, for which accelerate is set up.", hint=hint)
    return sharding if process_count() > 1 else None


def sharding_note(config: TrainConfig) -> str:
    """What is to be said of it; "" where accelerate's configuration asks for none."""
    asked = read_sharding()
    if asked is None:
        return ""
    unused = f"; {', '.join(asked.unused)} not used" if asked.unused else ""
    does = "each holds a part of the network" if sharding_of(config) else "one process holds all of the network"
    return f"; FSDP 2: {does}{unused}"
