"""What a training run is, apart from its settings: weights, their average, the optimizer and the position."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ldmcli.errors import UsageError
from ldmcli.training import checkpoints
from ldmcli.training.checkpoints import Checkpoint, damaged
from ldmcli.training.ema import EMA, kept
from ldmcli.training.muon import remembered
from ldmcli.training.shapes import check_moments, differences, shapes_of
from ldmcli.training.shards import fill, gather, is_shared_out


@dataclass(frozen=True)
class Learner:
    """A network, its optimizer, the name of the loss term that it minimises, and the network as the loss calls it."""

    name: str
    network: nn.Module
    optimizer: torch.optim.Optimizer
    called: nn.Module


@dataclass
class TrainState:
    """`step` counts finished optimizer steps. `scaler` is the fp16 loss scaler, if there is one; `prepared` is what the loss calls, the
    network wrapped for precision and processes, if it is.

    Frozen parameters are no part of it: they are neither averaged nor saved, whoever built the network has them.
    `opponent` learns in the same steps from a term of its own (a discriminator); it is saved, but not what is shipped.
    Where the network is shared out over processes, `weights` and `tensors` are of the step that was gathered last, and process 0's alone.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    ema: EMA | None
    step: int = 0
    scaler: Any = None
    prepared: nn.Module | None = None
    opponent: Learner | None = None
    gathered: tuple[int, dict[str, dict[str, Tensor]]] | None = None

    @property
    def called(self) -> nn.Module:
        """The network as the loss calls it."""
        return self.prepared or self.network

    @property
    def learners(self) -> list[Learner]:
        """All that learns, the network itself first."""
        return [Learner("loss", self.network, self.optimizer, self.called), *([self.opponent] if self.opponent else [])]

    @property
    def shared_out(self) -> bool:
        """Whether each process holds a part of the network."""
        return is_shared_out(self.network)

    def gather(self) -> None:
        """Make whole what is shared out, for process 0, as `weights` and `tensors` return it at this step. All processes must call it; the
        copies are kept until `release`."""
        if self.shared_out and (self.gathered is None or self.gathered[0] != self.step):
            self.gathered = None  # no two of them
            self.gathered = self.step, {name: gather(part) for name, part in self._tensors().items()}

    def release(self) -> None:
        """Forget what was gathered."""
        self.gathered = None

    def weights(self) -> dict[str, Tensor]:
        """What should be sampled from and shipped: the average if there is one. Frozen parameters are left out."""
        if self.shared_out:
            return self.tensors()["ema" if self.ema else "network"]
        return self.ema.state_dict() if self.ema else kept(self.network)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint holds, by file: network, optimizer, ema where there is an average, and the same two of an opponent."""
        if not self.shared_out:
            return self._tensors()
        if self.gathered is None or self.gathered[0] != self.step:
            raise RuntimeError(f"step {self.step} was not gathered")  # gathering here would wait for processes that are elsewhere
        return self.gathered[1]

    def _tensors(self) -> dict[str, dict[str, Tensor]]:
        tensors = {"network": kept(self.network), "optimizer": _optimizer_tensors(self.optimizer)}
        if self.ema:
            tensors["ema"] = self.ema.state_dict()
        if self.opponent:
            tensors[self.opponent.name] = kept(self.opponent.network)
            tensors[f"{self.opponent.name}_optimizer"] = _optimizer_tensors(self.opponent.optimizer)
        return tensors

    def nbytes(self) -> int:
        """Of a checkpoint."""
        return sum(value.nbytes for part in self.tensors().values() for value in part.values())

    def save(self, folder: Path, facts: dict[str, Any]) -> Path:
        """Write a checkpoint of this very moment. facts: JSON-able, returned by `restore`."""
        own = {"ema_updates": self.ema.updates if self.ema else 0, "scaler": self.scaler.state_dict() if self.scaler else None}
        return checkpoints.save(folder, self.step, self.tensors(), {**facts, "state": own})

    def check(self, checkpoint: Checkpoint, *, same_network: bool) -> None:
        """Raise LdmError where `restore` could not go on with it, though every checksum is right: what belongs together is compared by the
        headers of the files. same_network: by its settings it is one of this very network.
        """
        own = checkpoint.facts.get("state")
        if not (isinstance(own, dict) and type(own.get("ema_updates")) is int and isinstance(own.get("scaler"), dict | None)):
            raise damaged(checkpoint.path, "its manifest.json lacks the state of the average or of the loss scaler")
        if self.scaler and own["scaler"] and own["scaler"].keys() != self.scaler.state_dict().keys():
            raise damaged(checkpoint.path, "its manifest.json has another kind of loss scaler")
        parts = [("network", "optimizer", self.network, self.optimizer)]
        if self.opponent and self.opponent.name in checkpoint.names:
            parts.append((self.opponent.name, f"{self.opponent.name}_optimizer", self.opponent.network, self.opponent.optimizer))
        for name, moments, network, optimizer in parts:
            saved, here = checkpoint.shapes(name), shapes_of(kept(network))
            if same_network and (apart := differences(saved, here, "there", "by its settings")):
                raise damaged(checkpoint.path, f"its {name} is another one: {apart}")
            check_moments(checkpoint, moments, [tuple(p.shape) for p in _parameters(optimizer)] if saved == here else None)
        if own["ema_updates"] and (apart := differences(checkpoint.shapes("ema"), checkpoint.shapes("network"), "averaged", "trained")):
            raise damaged(checkpoint.path, f"its average is not one of its network: {apart}")

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue exactly where the checkpoint was taken. Raises UsageError when it is one of another network."""
        _load_network(self.network, "network", checkpoint)
        _load_optimizer(self.optimizer, "optimizer", checkpoint)
        if self.opponent and self.opponent.name in checkpoint.names:  # else the run had no opponent until now
            _load_network(self.opponent.network, self.opponent.name, checkpoint)
            _load_optimizer(self.opponent.optimizer, f"{self.opponent.name}_optimizer", checkpoint)
        own = checkpoint.facts["state"]
        if self.ema and own["ema_updates"]:
            self.ema.load(checkpoint.tensors("ema"), own["ema_updates"])
        elif self.ema:  # the run had no average until now
            self.ema.load(kept(self.network), 0)
        if self.scaler and own["scaler"]:
            self.scaler.load_state_dict(own["scaler"])
        self.step = checkpoint.step


def _load_network(network: nn.Module, name: str, checkpoint: Checkpoint) -> None:
    saved, here = checkpoint.tensors(name), kept(network)
    if apart := differences(shapes_of(saved), shapes_of(here), "there", "here"):
        raise UsageError(
            f"{checkpoint.path} holds the weights of another {name}: {apart}.",
            hint="A run goes on with the network that it began with: give the options and models that it was started with, or another -o.",
        )
    for name, value in here.items():
        fill(value, saved[name])


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory, flat: `{parameter number}.{name}` -> tensor."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": torch.as_tensor(value) for number, entry in state.items() for name, value in entry.items()}


def _load_optimizer(optimizer: torch.optim.Optimizer, name: str, checkpoint: Checkpoint) -> None:
    parameters = _parameters(optimizer)
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in checkpoint.tensors(name).items():
        number, _, moment = key.partition(".")
        parameter = parameters[int(number)]
        if moment not in remembered(optimizer, parameter):
            raise UsageError(f"{checkpoint.path} is of another --optimizer.", hint="A run goes on with the one that it began with.")
        # Strides as the parameter's (channels last): the fused AdamW walks both in memory order and would mix up other ones.
        same_layout = torch.empty_like(parameter, dtype=value.dtype) if value.dim() else value
        fill(same_layout, value)
        state.setdefault(int(number), {})[moment] = same_layout
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
