"""`ldm train-vae`: the autoencoder."""

from ldmcli.commands.builder import command
from ldmcli.commands.settings import Invocation
from ldmcli.commands.training import listed, resolve_config
from ldmcli.config.shared import OfflineOptions, ReportOptions
from ldmcli.config.training import TrainVAEConfig
from ldmcli.console import output
from ldmcli.models.source import find_component


@command(
    "train-vae", TrainVAEConfig, OfflineOptions, ReportOptions,
    examples=("ldm train-vae --data coco/ -o runs/vae", "ldm train-vae --config vae.toml --resume auto --max-hours 8"),
)  # fmt: skip
def train_vae(invocation: Invocation) -> None:
    """Train an autoencoder on captioned pictures: 64x64 pixels to 8x8 latents and back.

    RUN/model/ is what `train-unet --vae RUN` starts from; a run that was stopped goes on with --resume auto to the same bits.
    """
    config, report = resolve_config(invocation, TrainVAEConfig), invocation.options(ReportOptions)
    if config.init:
        find_component(config.init, "vae", alone=True)

    data = listed(config)  # a mistake in the captions, or a folder that is taken, fails before torch is loaded

    from ldmcli.engine.train import vae as engine

    output.show_training(invocation.remote.sent(engine.train_vae(config, data)), as_json=report.as_json, quiet=report.quiet)
