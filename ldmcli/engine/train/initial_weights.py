"""Where a U-Net run starts: which VAE, text tower, tokenizer, schedule and weights the options mean, with --init or without."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ldmcli.config.training import TrainUNetConfig
from ldmcli.diffusion.schedule import NoiseSchedule, ended_in_noise, make_schedule, schedule_from_file
from ldmcli.engine.parts import check_fit
from ldmcli.errors import LdmError, NotFound
from ldmcli.models.corrections import correction_notes
from ldmcli.models.layout import ldm_settings
from ldmcli.models.loading import load_unet, load_vae
from ldmcli.models.prediction import scheduler_config, with_native_size
from ldmcli.models.source import find_component, find_tokenizer
from ldmcli.models.text import TextConditioner, load_conditioner
from ldmcli.networks.configs import UNetConfig
from ldmcli.networks.initial_values import zero_residual_branches
from ldmcli.networks.unet import UNet
from ldmcli.networks.vae import VAE
from ldmcli.records.notes import Note


@dataclass(frozen=True)
class FrozenNetworks:
    """What the U-Net is trained between, and where its files are: a model folder, or a checkpoint file. The text tower may train along."""

    vae: VAE
    vae_path: Path
    text: TextConditioner
    text_path: Path
    tokenizer: Path


def resolve_parts(config: TrainUNetConfig) -> TrainUNetConfig:
    """The config with --vae and --text-encoder named: those of --init where it has them, else the bundled ones. Raises NotFound."""
    parts = {"vae": config.vae, "text_encoder": config.text_encoder}
    if config.init is not None:
        start = find_initial_model(config.init)
        parts = {name: given or (config.init if _has(config.init, name) else None) for name, given in parts.items()}
        own = ldm_settings(start) if (start / "model_index.json").is_file() else {}
        config = replace(config, text_mask=config.text_mask or bool(own.get("text_mask", False)))
    return replace(config, **{name: given or "bundled" for name, given in parts.items()})  # type: ignore[arg-type]


def find_initial_model(init: str) -> Path:
    """The folder or checkpoint file whose U-Net --init names."""
    return find_component(init, "unet", alone=True, beside=("scheduler",))


def _has(init: str, name: str) -> bool:
    try:
        find_component(init, name, alone=True)
    except LdmError:
        return False
    return True


def load_frozen(config: TrainUNetConfig) -> FrozenNetworks:
    """The VAE and the text encoder that --vae and --text-encoder name, once `resolve_parts` has resolved them."""
    assert config.vae is not None and config.text_encoder is not None
    vae = find_component(config.vae, "vae", alone=True)
    text = find_component(config.text_encoder, "text_encoder", alone=True, beside=("tokenizer",))
    words = find_tokenizer(config.tokenizer) if config.tokenizer or text.is_file() else text / "tokenizer"
    if words.is_file():  # open_clip's, which diffusers does not read
        raise NotFound(f"{text} is a checkpoint file, which holds no tokenizer.", hint="Pass --tokenizer DIR, a folder with one.")
    return FrozenNetworks(load_vae(vae), vae, load_conditioner(text, words, use_mask=config.text_mask), text, words)


def initial_unet(config: TrainUNetConfig, frozen: FrozenNetworks) -> UNet:
    """A new U-Net, or a copy of the one that --init names. Raises LdmError when that one belongs to other latents or text."""
    if config.init is None:
        unet = UNet(unet_config(config, frozen))
        zero_residual_branches(unet)
        return unet
    unet = load_unet(find_initial_model(config.init))
    check_fit(unet, frozen.vae, frozen.text)
    return unet


def unet_config(config: TrainUNetConfig, frozen: FrozenNetworks) -> UNetConfig:
    """The network that the options describe: text attention at every level."""
    levels, latents = len(config.channels), frozen.vae.config.latent_channels
    return UNetConfig(
        sample_size=config.size // frozen.vae.config.downscale,
        in_channels=latents,
        out_channels=latents,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        block_out_channels=config.channels,
        layers_per_block=config.layers,
        cross_attention_dim=frozen.text.encoder.config.hidden_size,
        attention_head_dim=config.heads,
    )


def resolve_schedule(config: TrainUNetConfig, frozen: FrozenNetworks, unet: UNet) -> tuple[TrainUNetConfig, NoiseSchedule]:
    """The config with --schedule, --prediction, --zero-terminal-snr resolved, and the schedule: that of --init unless they say otherwise.

    unet: the one that is trained, on the CPU; a checkpoint file of SD 2.x does not say what it predicts, and is asked.
    """
    start = _schedule_of(config.init, frozen, unet)
    prediction: Any = config.prediction or (start.prediction if start else "v")
    if start is None or config.schedule not in (None, start.name):
        schedule = make_schedule(config.schedule or "cosine", prediction, zero_snr=config.zero_terminal_snr)
        # Leading spacing begins some steps below the end, where the network would take noise for a picture (Lin et al. 2024, sec. 3.3).
        schedule = replace(schedule, file_spacing="trailing")
    else:
        schedule = replace(start, prediction=prediction)
        if config.zero_terminal_snr and not schedule.zero_snr:
            schedule = ended_in_noise(schedule)
    name: Any = schedule.name
    resolved = replace(config, schedule=name, prediction=prediction, zero_terminal_snr=schedule.zero_snr)
    return resolved, schedule


def _schedule_of(init: str | None, frozen: FrozenNetworks, unet: UNet) -> NoiseSchedule | None:
    """What the model of --init was trained on; None without one, and where a U-Net lies alone."""
    path = None if init is None else find_initial_model(init)
    if path is None or not _has_schedule(path):
        return None
    states = frozen.text.states([frozen.text.tokens("")]).to(unet.conv_in.weight)
    schedule = schedule_from_file(scheduler_config(path, unet, states))
    with_native_size(path, unet, schedule.prediction)
    return schedule


def _has_schedule(path: Path) -> bool:
    return path.is_file() or (path / "scheduler" / "scheduler_config.json").is_file()


def initial_notes(config: TrainUNetConfig, typed: TrainUNetConfig, frozen: FrozenNetworks, unet: UNet) -> Iterator[Note]:
    """What the run is made of, said aloud. config: resolved; typed: as it was typed; unet: as it came."""
    yield Note(f"VAE {config.vae}: frozen; text encoder {config.text_encoder}: {'trains along' if config.train_text_encoder else 'frozen'}")
    start = None if config.init is None else find_initial_model(config.init)
    parts = [] if start is None else [(start, "unet"), *[(start, "scheduler")] * _has_schedule(start)]
    yield from map(Note, correction_notes((frozen.vae_path, "vae"), *parts))
    if config.init is None:
        return
    inherited = [f"{name} {getattr(config, name)}" for name in ("schedule", "prediction") if getattr(typed, name) is None]
    yield Note(f"U-Net of {config.init}" + (f", and its {' and '.join(inherited)}" if inherited else ""))
    sides, scale = unet.config.sample_size, frozen.vae.config.downscale
    native = {side * scale for side in (sides if isinstance(sides, tuple) else (sides,)) if side}
    if native - {config.size}:
        yield Note(f"it was made for pictures of {max(native)} pixels and is trained on {config.size}: see --size", warning=True)
