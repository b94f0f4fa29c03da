"""`ldm train-unet`: the conditional U-Net."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ldmcli.commands.options import whole_numbers
from ldmcli.commands.training import resolve_config, training_command
from ldmcli.config.training import TrainUNetConfig
from ldmcli.console import output
from ldmcli.models.scorer_source import find_scorer
from ldmcli.models.source import find_component


@training_command
def train_unet_command(
    given: dict[str, Any],
    vae: Annotated[
        str | None, typer.Option("--vae", help="A train-vae run, a model or `bundled`; frozen (default: that of --init).")
    ] = None,
    text_encoder: Annotated[str | None, typer.Option("--text-encoder", help="A model or `bundled` (default: that of --init).")] = None,
    tokenizer: Annotated[str | None, typer.Option("--tokenizer", help="Folder with CLIP's tokenizer, for a .safetensors file.")] = None,
    init: Annotated[str | None, typer.Option("--init", help="Fine-tune this model: whatever `generate -m` takes.")] = None,
    train_text_encoder: Annotated[bool | None, typer.Option("--train-text-encoder", help="Train the text encoder along.")] = None,
    text_encoder_lr: Annotated[float | None, typer.Option("--text-encoder-lr", help="Its learning rate (default: --lr).")] = None,
    lora_rank: Annotated[
        int | None, typer.Option("--lora-rank", "--rank", help="Train adapters of this rank alone, such as 4; needs --init.")
    ] = None,
    lora_alpha: Annotated[float | None, typer.Option("--lora-alpha", help="Their scale times the rank (default: the rank).")] = None,
    cfg_dropout: Annotated[float | None, typer.Option("--cfg-dropout", help="Share of captions replaced by the empty one.")] = None,
    schedule: Annotated[str | None, typer.Option("--schedule", help="cosine, scaled-linear or linear.")] = None,
    prediction: Annotated[str | None, typer.Option("--prediction", help="v or epsilon.")] = None,
    zero_terminal_snr: Annotated[bool | None, typer.Option("--zero-terminal-snr", help="End in noise alone (needs v).")] = None,
    snr_gamma: Annotated[float | None, typer.Option("--snr-gamma", help="Min-SNR weighting, such as 5.")] = None,
    gradient_checkpointing: Annotated[
        bool | None, typer.Option("--gradient-checkpointing", help="Less memory, slower steps, the same numbers.")
    ] = None,
    channels: Annotated[str | None, typer.Option("--channels", help="Widths from the full latent down, such as 128,256.")] = None,
    layers: Annotated[int | None, typer.Option("--layers", help="ResNet and transformer blocks per resolution.")] = None,
    heads: Annotated[int | None, typer.Option("--heads", help="Attention heads.")] = None,
    text_mask: Annotated[bool | None, typer.Option("--text-mask", help="Hide pads from cross-attention.")] = None,
    prompts: Annotated[Path | None, typer.Option("--prompts", "--validation-prompts", help="Sample prompts, one a line.")] = None,
    sample_clipscore: Annotated[
        str | None, typer.Option("--sample-clipscore", help="Score the sample sheets by this CLIP: `bundled`, a folder or a hub id.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print bare results only.")] = False,
) -> None:
    """Train a text-conditional U-Net in the latent space of a frozen VAE."""
    own = {"vae": vae, "text_encoder": text_encoder, "tokenizer": tokenizer, "init": init, "train_text_encoder": train_text_encoder,
           "text_encoder_lr": text_encoder_lr, "lora_rank": lora_rank, "lora_alpha": lora_alpha,
           "cfg_dropout": cfg_dropout, "schedule": schedule,
           "prediction": prediction, "zero_terminal_snr": zero_terminal_snr,
           "snr_gamma": snr_gamma, "gradient_checkpointing": gradient_checkpointing,
           "channels": whole_numbers(channels, "--channels"), "layers": layers, "heads": heads,
           "text_mask": text_mask, "prompts": prompts, "sample_clipscore": sample_clipscore}  # fmt: skip
    config = resolve_config(TrainUNetConfig, {**given, **own}, "train-unet")
    for text, name in ((config.init, "unet"), (config.vae, "vae"), (config.text_encoder, "text_encoder")):
        if text:  # a typo fails before torch is loaded
            find_component(text, name, alone=True)
    if config.sample_clipscore:
        find_scorer(config.sample_clipscore)

    from ldmcli.engine.train_unet import train_unet

    output.show_training(train_unet(config), as_json=as_json, quiet=quiet)
