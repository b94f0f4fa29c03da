"""Whether tensors belong together, told by name and shape."""

from collections.abc import Mapping
from itertools import groupby

from torch import Tensor

from ldmcli.training.checkpoints import Checkpoint, damaged

Shape = tuple[int, ...]
Names = frozenset[str]

ADAM: Names = frozenset({"step", "exp_avg", "exp_avg_sq"})
MUON: Names = frozenset({"momentum_buffer"})
REMEMBERED = (ADAM, MUON)
"""What an optimizer remembers of a parameter that it has moved."""


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Of a state dict."""
    return {key: tuple(value.shape) for key, value in tensors.items()}


def differences(one: Mapping[str, Shape], other: Mapping[str, Shape], there: str, here: str) -> str:
    """What is not the same, the first of each kind of difference by name and shape; "" if nothing is. there, here: where the two are."""
    changed = [key for key in other if key in one and one[key] != other[key]]
    kinds = [
        (changed, lambda key: f"{key} is {_shape(one[key])} {there} and {_shape(other[key])} {here}"),
        ([key for key in one if key not in other], lambda key: f"{key} {_shape(one[key])} is only {there}"),
        ([key for key in other if key not in one], lambda key: f"{key} {_shape(other[key])} is only {here}"),
    ]
    return "; ".join(f"{said(keys[0])}" + (f", and {len(keys) - 1} more" if len(keys) > 1 else "") for keys, said in kinds if keys)


def check_moments(checkpoint: Checkpoint, name: str, parameters: list[Shape] | None) -> None:
    """Raise LdmError unless the optimizer's tensors, `{parameter number}.{name}`, are what an optimizer remembers of each parameter, and
    each one number or of its shape. parameters: those of the network that the checkpoint is of, where it is known.
    """
    shapes = checkpoint.shapes(name)
    for number, keys in groupby(sorted(shapes), key=lambda key: key.partition(".")[0]):
        of_one = [*keys]
        names = frozenset(key.partition(".")[2] for key in of_one)
        if not (number.isdecimal() and len(number) < 9) or names not in REMEMBERED:
            raise damaged(checkpoint.path, f"{name}.safetensors has {', '.join(of_one)}, which no optimizer remembers of a parameter")
        if parameters is None:
            continue
        if int(number) >= len(parameters) or any(shapes[key] not in ((), parameters[int(number)]) for key in of_one):
            raise damaged(checkpoint.path, f"{name}.safetensors has {of_one[0]}, which is of no parameter of the network")


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a number"
