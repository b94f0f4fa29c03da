"""`ldm train-vae`: the autoencoder."""

from typing import Annotated, Any

import typer

from ldmcli.commands.options import whole_numbers
from ldmcli.commands.training import resolve_config, training_command
from ldmcli.config.training import TrainVAEConfig
from ldmcli.console import output
from ldmcli.errors import UsageError
from ldmcli.models.source import find_component


@training_command
def train_vae_command(
    given: dict[str, Any],
    init: Annotated[str | None, typer.Option("--init", help="Start from the VAE of this model, or from a VAE alone.")] = None,
    new_scale: Annotated[
        bool | None, typer.Option("--new-scale", help="With --init: measure scale and centre of the latents anew; its U-Net fits no more.")
    ] = None,
    latent_channels: Annotated[int | None, typer.Option("--latent-channels")] = None,
    channels: Annotated[str | None, typer.Option("--channels", help="Widths from the full picture down, such as 32,64,128,128.")] = None,
    layers: Annotated[int | None, typer.Option("--layers", help="ResNet blocks per resolution.")] = None,
    kl_weight: Annotated[float | None, typer.Option("--kl-weight", help="Weight of the KL in nats per picture.")] = None,
    recon: Annotated[str | None, typer.Option("--recon", help="l1 or l2.")] = None,
    perceptual: Annotated[str | None, typer.Option("--perceptual", help="edges, dct or lpips (an optional extra).")] = None,
    perceptual_weight: Annotated[float | None, typer.Option("--perceptual-weight", help="Weight of the perceptual term.")] = None,
    adversarial_weight: Annotated[
        float | None, typer.Option("--adversarial-weight", help="Weight of a patch discriminator, such as 0.5; 0 (default): none.")
    ] = None,
    adversarial_start: Annotated[
        int | None, typer.Option("--adversarial-start", "--disc-start", help="Steps before the discriminator joins (default 1000).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print bare results only.")] = False,
) -> None:
    """Train an autoencoder on captioned pictures: 64x64 pixels to 8x8 latents and back."""
    own = {"init": init, "new_scale": new_scale, "latent_channels": latent_channels,
           "channels": whole_numbers(channels, "--channels"), "layers": layers,
           "kl_weight": kl_weight, "recon": recon, "perceptual": perceptual, "perceptual_weight": perceptual_weight,
           "adversarial_weight": adversarial_weight, "adversarial_start": adversarial_start}  # fmt: skip
    config = resolve_config(TrainVAEConfig, {**given, **own}, "train-vae")
    if perceptual is not None and not config.perceptual_weight:
        raise UsageError(f"--perceptual {perceptual} has no weight.", hint="Add --perceptual-weight, such as 1.")
    if config.init:
        find_component(config.init, "vae", alone=True)

    from ldmcli.engine.train_vae import train_vae

    output.show_training(train_vae(config), as_json=as_json, quiet=quiet)
