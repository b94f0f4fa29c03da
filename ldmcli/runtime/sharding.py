"""Networks of which each process holds a part, as `accelerate launch` asks for them in the environment. Imports no torch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ldmcli.errors import UsageError

USE_FSDP = "ACCELERATE_USE_FSDP"
YES, NO = ("true", "1", "yes", "y", "on", "t"), ("false", "0", "no", "n", "off", "f")
"""As accelerate reads them, in any case."""
UNSUPPORTED = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism config",
}
"""Ways to train a network in parts that training does not know, by the variables that ask for them."""

REFUSED = {
    "FSDP_OFFLOAD_PARAMS": "Parts stay on the device that computes with them; more processes make them smaller.",
    "FSDP_ACTIVATION_CHECKPOINTING": "--gradient-checkpointing does that.",
    "FSDP_ACTIVATION_CHECKPOINTING_OFFLOAD": "--gradient-checkpointing keeps less, and on the device.",
    "FSDP_IGNORED_MODULES": "All of the network is shared out.",
    "ACCELERATE_DYNAMO_BACKEND": "What is shared out is not compiled.",
}
"""Settings that change what a run takes, and what to do instead."""

HARMLESS = {
    "FSDP_VERSION": ("2",),
    "FSDP_RESHARD_AFTER_FORWARD": (*YES, *NO),
    "FSDP_SHARDING_STRATEGY": ("full_shard", "1"),
    "FSDP_MIN_NUM_PARAMS": ("100000000",),
    "FSDP_FORWARD_PREFETCH": NO,
    "FSDP_USE_ORIG_PARAMS": (*YES, *NO),
    "FSDP_SYNC_MODULE_STATES": (*YES, *NO),
    "FSDP_STATE_DICT_TYPE": ("full_state_dict",),
    "FSDP_CPU_RAM_EFFICIENT_LOADING": NO,
}
"""Values that need no word: what is done, what accelerate's FSDP 2 does not look at either, or what `accelerate launch` says unasked."""


@dataclass(frozen=True)
class Sharding:
    """FSDP 2. reshard_after_forward: each block is given up after the way there, and gathered again for the way back; unused: what else is
    set and means nothing here, as NAME=VALUE."""

    reshard_after_forward: bool = True
    unused: tuple[str, ...] = ()


def read_sharding() -> Sharding | None:
    """What accelerate's configuration asks for; None where every process holds the whole network. Raises UsageError for what is not FSDP 2
    and for settings of it that cannot be followed."""
    for variable, name in UNSUPPORTED.items():
        if _is_true(variable):
            raise unsupported(name, variable)
    if not _is_true(USE_FSDP):
        return None
    version = os.environ.get("FSDP_VERSION") or "1"
    if version != "2":
        raise UsageError(
            f"accelerate is set up for FSDP {version}, and training knows FSDP 2.",
            hint="Say --fsdp_version 2 to accelerate launch, or fsdp_version: 2 in its configuration.",
        )
    for name, instead in REFUSED.items():
        if os.environ.get(name, "").lower() not in ("", *NO):
            raise UsageError(f"accelerate is set up for FSDP with {name}={os.environ[name]}, which training does not do.", hint=instead)
    given = {name: value for name, value in os.environ.items() if name.startswith("FSDP_") and name not in REFUSED and value}
    reshard = given.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower()
    if reshard not in (*YES, *NO):
        raise UsageError(f"FSDP_RESHARD_AFTER_FORWARD={reshard} is a word of FSDP 1.", hint="FSDP 2 has true and false.")
    unused = tuple(f"{name}={value}" for name, value in sorted(given.items()) if value.lower() not in HARMLESS.get(name, ()))
    return Sharding(reshard in YES, unused)


def unsupported(name: str, variable: str, who: str = "training") -> UsageError:
    """What is raised of a way to share a network out that `who` does not know."""
    return UsageError(
        f"accelerate is set up for {name}, and {who} holds the whole network in every process.",
        hint=f"Leave it out of accelerate's configuration, or unset {variable}; --grad-accum makes a step take less memory.",
    )


@contextmanager
def without_accelerates_own() -> Iterator[None]:
    """accelerate sees no FSDP meanwhile: on CPUs it would drop it without a word, and on GPUs do it in its own way."""
    asked = os.environ.pop(USE_FSDP, None)
    try:
        yield
    finally:
        if asked is not None:
            os.environ[USE_FSDP] = asked


def _is_true(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in YES
