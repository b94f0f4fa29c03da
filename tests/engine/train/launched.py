"""What torchrun and `accelerate launch` hand to the processes that they start. They run in forks, since both import torch."""

import json
import os
import runpy
import sys
from pathlib import Path

from forks import fork
from launch import ENVIRONMENT, launcher_words


def as_launched(launcher: str, *arguments: object, folder: Path) -> list[tuple[list[str], dict[str, str]]]:
    """(arguments, environment) of each of two processes. Their rendezvous is their own, for the launcher is gone."""
    module, *words = launcher_words(launcher)

    def work() -> int:
        helpers = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        os.environ.update(ENVIRONMENT, NOTED=str(folder), PYTHONPATH=os.pathsep.join(filter(None, helpers)))
        sys.argv = [module, *words, "-m", "noted", *map(str, arguments)]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return 0

    child = fork(work, folder / "launcher")
    assert child.wait() == 0, child.said()
    started = [json.loads((folder / str(number)).read_text()) for number in range(2)]
    return [(argv, {name: value for name, value in env.items() if name != "TORCHELASTIC_USE_AGENT_STORE"}) for argv, env in started]
