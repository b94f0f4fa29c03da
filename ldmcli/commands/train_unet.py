"""`ldm train-unet`: the conditional U-Net."""

from ldmcli.commands.builder import command
from ldmcli.commands.settings import Invocation
from ldmcli.commands.training import listed, resolve_config
from ldmcli.config.shared import OfflineOptions, ReportOptions
from ldmcli.config.training import TrainUNetConfig
from ldmcli.console import output
from ldmcli.models.scorer_source import find_scorer
from ldmcli.models.source import find_component


@command(
    "train-unet", TrainUNetConfig, OfflineOptions, ReportOptions,
    examples=(
        "ldm train-unet --data coco/ --vae runs/vae -o runs/unet",
        "ldm train-unet --data mine/ --init bundled --lora-rank 4",
    ),
)  # fmt: skip
def train_unet(invocation: Invocation) -> None:
    """Train a text-conditional U-Net in the latent space of a frozen VAE.

    RUN/model/ is a whole diffusers folder: `ldm generate -m RUN` draws with it; a run that was stopped goes on with --resume auto.
    """
    config, report = resolve_config(invocation, TrainUNetConfig), invocation.options(ReportOptions)
    for text, name in ((config.init, "unet"), (config.vae, "vae"), (config.text_encoder, "text_encoder")):
        if text:  # a typo fails before torch is loaded
            find_component(text, name, alone=True)
    if config.sample_clipscore:
        find_scorer(config.sample_clipscore)

    data = listed(config)  # a mistake in the captions, or a folder that is taken, fails before torch is loaded

    from ldmcli.engine.train import unet as engine

    output.show_training(invocation.remote.sent(engine.train_unet(config, data)), as_json=report.as_json, quiet=report.quiet)
