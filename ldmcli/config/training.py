"""What a training run was asked to do, checked on birth. Knows no torch."""

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Literal

from ldmcli.config.checks import check
from ldmcli.config.option import Conflict, option
from ldmcli.config.options import Options
from ldmcli.config.shared import DeviceOptions
from ldmcli.config.training_groups import CheckpointOptions, OptimizerOptions, TrainingData, TrainingDevice

INIT = {"metavar": "MODEL", "default_is": "from scratch"}


@dataclass(frozen=True, kw_only=True)
class TrainConfig(TrainingDevice, DeviceOptions, CheckpointOptions, OptimizerOptions, TrainingData):
    """What train-vae and train-unet share."""

    data: Path = option(
        MISSING,
        "--data",
        metavar="DIR",
        help="Captioned pictures, here or at a URL: COCO, Karpathy, metadata.jsonl, .txt captions, tar or Parquet shards.",
    )
    output: Path = option(MISSING, "-o", "--output", "--output-dir", metavar="RUN", group="Output", help="Run folder.",
                          default_is="runs/COMMAND-N")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class VAELosses(Options, group="Losses"):
    """What the autoencoder is judged by."""

    recon: Literal["l1", "l2"] = option("l1", "--recon", help="Distance of the pixels.")
    kl_weight: float = option(
        1e-6, "--kl-weight", metavar="NUMBER", help="Weight of the KL in nats per picture; see losses.py.", at_least=0
    )
    perceptual: Literal["edges", "dct", "lpips"] = option(
        "edges", "--perceptual", help="Kind of perceptual term; lpips is an extra.", conflicts=(
            Conflict(lambda options: not options.perceptual_weight, "--perceptual has no weight.", "Add --perceptual-weight, such as 1."),
        ),
    )  # fmt: skip
    perceptual_weight: float = option(0.0, "--perceptual-weight", metavar="NUMBER", help="Weight of the perceptual term.", at_least=0)
    adversarial_weight: float = option(
        0.0, "--adversarial-weight", metavar="NUMBER", at_least=0,
        help="Of a patch discriminator, such as 0.5, once both losses pull equally hard on the decoder's last layer; 0: none.",
    )  # fmt: skip
    adversarial_start: int = option(
        1000, "--adversarial-start", "--disc-start", metavar="STEPS", help="Steps before the discriminator joins.", at_least=0
    )


@dataclass(frozen=True, kw_only=True)
class TrainVAEConfig(TrainConfig, VAELosses, group="Network"):
    """`ldm train-vae`."""

    init: str | None = option(None, "--init", help="Start from the VAE of this model, whose shape wins over the options below.", **INIT)
    new_scale: bool = option(
        False, "--new-scale", help="With --init: measure scale and centre of the latents anew; its U-Net fits no more.", conflicts=(
            Conflict(lambda options: options.init is None, "--new-scale goes with --init; a new VAE is measured anyway.", "Leave it out."),
        ),
    )  # fmt: skip
    freeze_encoder: bool = option(
        False, "--freeze-encoder", help="With --init: train the decoder alone, so that latents and their U-Nets stay good."
    )
    latent_channels: int = option(4, "--latent-channels", metavar="N", help="Channels of the latents.", at_least=1)
    channels: tuple[int, ...] = option(
        (32, 64, 128, 128), "--channels", metavar="A,B,...", help="Widths from the full picture down, each half as large as the one before."
    )
    layers: int = option(1, "--layers", metavar="N", help="ResNet blocks per resolution.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.freeze_encoder:
            check(self.init is not None, "--freeze-encoder goes with --init: a new encoder has learned nothing.", "Leave it out.")
            check(not self.new_scale, "--freeze-encoder keeps the latents, --new-scale does not.", "Leave out one of the two.")
        check(len(self.channels) >= 2 and all(c >= 4 and c % 4 == 0 for c in self.channels), "--channels: two or more multiples of 4.")
        check(self.size % 2 ** (len(self.channels) - 1) == 0, f"--size {self.size} cannot be halved {len(self.channels) - 1} times.")


@dataclass(frozen=True, kw_only=True)
class UNetParts(Options, group="Model"):
    """What the U-Net is trained between, and where it starts."""

    init: str | None = option(None, "--init", help="Fine-tune this model, whose shape wins over --channels, --layers and --heads.", **INIT)
    vae: str | None = option(
        None, "--vae", metavar="MODEL", help="A train-vae run, a model or `bundled`; frozen.", default_is="that of --init, else bundled"
    )
    text_encoder: str | None = option(
        None, "--text-encoder", metavar="MODEL", help="A model or `bundled`; frozen.", default_is="that of --init, else bundled"
    )
    tokenizer: str | None = option(
        None, "--tokenizer", metavar="DIR", default_is="the model's", help="CLIP's tokenizer, which a checkpoint file lacks."
    )
    train_text_encoder: bool = option(False, "--train-text-encoder", help="Train the text encoder along.")
    text_encoder_lr: float | None = option(
        None, "--text-encoder-lr", metavar="NUMBER", help="Its learning rate; it follows the same schedule.", default_is="--lr", above=0
    )
    lora_rank: int | None = option(
        None, "--lora-rank", "--rank", metavar="N", help="Train adapters of this rank alone, such as 4; needs --init.", at_least=1,
        hint="4 is usual.",
    )  # fmt: skip
    lora_alpha: float | None = option(
        None, "--lora-alpha", metavar="NUMBER", help="Their scale times the rank.", default_is="the rank", above=0
    )


@dataclass(frozen=True, kw_only=True)
class ObjectiveOptions(Options, group="Schedule and steps"):
    """What the U-Net is taught."""

    schedule: Literal["cosine", "scaled-linear", "linear"] | None = option(
        None, "--schedule", help="How noise grows.", default_is="that of --init, else cosine"
    )
    prediction: Literal["epsilon", "v"] | None = option(
        None, "--prediction", help="What the U-Net learns to predict.", default_is="that of --init, else v"
    )
    zero_terminal_snr: bool = option(
        False, "--zero-terminal-snr", help="End in noise alone (needs v); samples have trailing spacing, which begins there."
    )
    snr_gamma: float | None = option(None, "--snr-gamma", metavar="NUMBER", help="Min-SNR weighting, such as 5.", above=0)
    timestep_shift: float = option(
        1.0, "--timestep-shift", metavar="NUMBER", help="Above 1 noisy timesteps are learned more often, as in SD3; 1 all alike.", above=0
    )
    posterior: Literal["sample", "mode"] = option(
        "sample", "--posterior", help="What a picture is to the U-Net: draws of what the VAE makes of it, or the likeliest latents alone."
    )
    cfg_dropout: float = option(0.1, "--cfg-dropout", metavar="SHARE", help="Captions replaced by the empty one.", at_least=0, below=1)
    text_mask: bool = option(False, "--text-mask", help="Hide pads from cross-attention.")


@dataclass(frozen=True, kw_only=True)
class TrainUNetConfig(TrainConfig, ObjectiveOptions, UNetParts, group="Network"):
    """`ldm train-unet`. None means: what the model of --init has, else the tool's default; see engine/train/initial_weights.py."""

    channels: tuple[int, ...] = option((128, 256), "--channels", metavar="A,B,...", help="Widths from the full latent down.")
    layers: int = option(2, "--layers", metavar="N", help="ResNet and transformer blocks per resolution.")
    heads: int = option(4, "--heads", metavar="N", help="Attention heads.", at_least=1)
    gradient_checkpointing: bool = option(
        False, "--gradient-checkpointing", group="Device", help="Less memory, slower steps, the same numbers."
    )
    prompts: Path | None = option(
        None, "--prompts", "--validation-prompts", metavar="FILE", group="Checkpoints and logs", help="Sample prompts, one a line.",
        default_is="captions of the data",
    )  # fmt: skip
    sample_clipscore: str | None = option(
        None, "--sample-clipscore", metavar="MODEL", group="Checkpoints and logs",
        help="Score the sample sheets by this CLIP: `bundled`, a folder or a hub id.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            not (self.zero_terminal_snr and self.prediction == "epsilon"),
            "--zero-terminal-snr with --prediction epsilon: noise alone has nothing to teach.", "Use --prediction v.",
        )  # fmt: skip
        check(bool(self.channels) and all(c >= 32 and c % 32 == 0 for c in self.channels), "--channels: multiples of 32.")
        check(all(c % self.heads == 0 for c in self.channels), f"--heads {self.heads} must divide every width.")
        check(
            self.lora_rank is None or self.init is not None,
            "--lora-rank adapts a trained U-Net, and none is named.",
            "Name it with --init, or leave out --lora-rank to train from scratch.",
        )  # fmt: skip
        check(self.lora_alpha is None or self.lora_rank is not None, "--lora-alpha scales what --lora-rank adds.", "Add --lora-rank 4.")
        check(
            not (self.stream and self.train_text_encoder), "--stream reads captions as they come; --train-text-encoder cuts all before.",
            "Leave out one of the two.",
        )  # fmt: skip
        check(
            self.text_encoder_lr is None or self.train_text_encoder,
            "--text-encoder-lr is for a text encoder that trains.", "Add --train-text-encoder.",
        )  # fmt: skip
