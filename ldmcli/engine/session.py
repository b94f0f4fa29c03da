"""A model on a device, ready to sample: joins networks, text, codec, solver and loop. Every command that samples goes through here."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ldmcli.autoencoder.codec import LatentCodec
from ldmcli.diffusion.loop import DenoiseStep, denoise
from ldmcli.diffusion.noise import StepNoise, noise_for
from ldmcli.diffusion.schedule import NoiseSchedule, schedule_from_file
from ldmcli.diffusion.solver import Solver
from ldmcli.diffusion.start import Start
from ldmcli.engine.parts import check_fit, make_codec
from ldmcli.engine.predictor import Predictor
from ldmcli.errors import NonFinite
from ldmcli.models.corrections import correction_notes
from ldmcli.models.layout import ldm_settings
from ldmcli.models.loading import load_unet, load_vae
from ldmcli.models.lora import with_loras
from ldmcli.models.prediction import scheduler_config, with_native_size
from ldmcli.models.source import Source
from ldmcli.models.text import TextConditioner, load_conditioner
from ldmcli.networks.attention import TextContext
from ldmcli.networks.engines import ENGINES
from ldmcli.networks.exported import ExportedUNet
from ldmcli.networks.inference import InferenceUNet, inference_unet, prepare_decoder, prepare_text
from ldmcli.networks.unet import UNet, without_weights
from ldmcli.networks.vae import VAE
from ldmcli.runtime.device import DTYPES, Runtime, dtype_name
from ldmcli.runtime.files import user_cache
from ldmcli.runtime.memory import give_back, keep_freed_memory

# B pictures, C latent channels, h w latent size, L tokens, D text width


@dataclass
class Session:
    """Everything one model needs to draw."""

    unet: UNet
    vae: VAE
    text: TextConditioner
    schedule: NoiseSchedule
    device: torch.device
    notes: tuple[str, ...] = ()
    """What was corrected in the model's own configs, in sentences."""

    @property
    def codec(self) -> LatentCodec:
        """Scaled latents in and out."""
        return make_codec(self.vae)

    @property
    def vae_dtype(self) -> str:
        """fp32, fp16 or bf16."""
        return dtype_name(next(self.vae.parameters()).dtype)

    @property
    def native_size(self) -> int:
        """Side in pixels of the pictures the U-Net was trained on."""
        size = self.unet.config.sample_size or 64
        return (size if isinstance(size, int) else size[0]) * self.vae.config.downscale

    def latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        """(C, h, w) of a picture of this size in pixels."""
        scale = self.vae.config.downscale
        return self.unet.config.in_channels, height // scale, width // scale

    @torch.no_grad()
    def encode_prompts(
        self, prompts: Sequence[str], negatives: Sequence[str], *, guided: bool, weighting: str = "none", long: bool = False
    ) -> TextContext:
        """The context of a batch: with guidance the negative prompts come first, (2B, L, D), else (B, L, D).

        weighting and long: see TextConditioner.windows; long prompts have several times L.
        """
        texts = [*negatives, *prompts] if guided else list(prompts)
        place = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        states, mask = self.text.encode([self.text.windows(text, weighting=weighting, long=long) for text in place])
        rows = torch.tensor([place[text] for text in texts])
        dtype = self.unet.conv_in.weight.dtype
        states = states[rows.to(states.device)].to(self.device, dtype)
        return TextContext(states, None if mask is None else mask[rows].to(self.device), remember=True)

    def denoise(
        self,
        context: TextContext,
        seeds: Sequence[int],
        shape: tuple[int, int, int],
        solver: Solver,
        *,
        guidance: float,
        rescale: float = 0.0,
        guided_calls: Sequence[bool] | None = None,
    ) -> Iterator[DenoiseStep]:
        """The loop for one batch from noise: seeds name the pictures, shape is (C, h, w). The rest as in `denoise_from`."""
        start = Start(noise_for(seeds, shape), StepNoise(seeds, shape) if solver.stochastic else None)
        yield from self.denoise_from(context, start, solver, guidance=guidance, rescale=rescale, guided_calls=guided_calls)

    def denoise_from(
        self,
        context: TextContext,
        start: Start,
        solver: Solver,
        *,
        guidance: float,
        rescale: float = 0.0,
        guided_calls: Sequence[bool] | None = None,
        reused_calls: Sequence[bool] | None = None,
    ) -> Iterator[DenoiseStep]:
        """The loop for one batch, whatever it starts from. The context decides whether guidance is computed.

        guided_calls: for every call of the solver, whether it is; the others evaluate half as much. None: all of them.
        reused_calls: which of the others are guided by the direction of the last that was; see Predictor.
        """
        predict = Predictor(self.unet, context, len(start.noise), solver, guided_calls, reused_calls)
        if isinstance(self.unet, InferenceUNet | ExportedUNet):
            self.unet.expect(predict.timesteps)
        start = start.to(self.device)
        yield from denoise(
            predict, solver, start.noise, guidance=guidance, rescale=rescale, step_noise=start.step_noise, picture=start.picture
        )

    @torch.no_grad()
    def encode(self, pictures: Tensor, *, tiled: bool = False) -> tuple[Tensor, Tensor]:
        """Pictures (B, 3, H, W) in [-1, 1] to mean and std of their scaled latents, (B, C, h, w) each, float32. Raises NonFinite.

        Where half precision overflows, a copy of the VAE encodes in fp32. tiled: see encode_in_tiles.
        """
        pictures = pictures.to(self.device)
        mean, std = make_codec(self.vae, tiled=tiled).encode(pictures.to(next(self.vae.parameters()).dtype))
        if not (mean + std).isfinite().all() and self.vae_dtype != "fp32":
            mean, std = make_codec(copy.deepcopy(self.vae).float(), tiled=tiled).encode(pictures)
        if not (mean + std).isfinite().all():
            raise NonFinite("the latents of the picture hold NaN or infinity.", hint="Try --dtype fp32.")
        return mean.float(), std.float()

    @torch.no_grad()
    def decode(self, latents: Tensor, *, tiled: bool = False, in_fp32: bool = False) -> Tensor:
        """Scaled latents (B, C, h, w) to pictures (B, 3, H, W) in [-1, 1], float32. Raises NonFinite.

        tiled: see decode_in_tiles. in_fp32: by a copy of the VAE whose weights, as they were rounded, compute in fp32.
        """
        # A copy: another thread may be decoding with the VAE itself.
        vae = copy.deepcopy(self.vae).float() if in_fp32 else self.vae
        dtype = next(vae.parameters()).dtype
        return make_codec(vae, tiled=tiled).decode(latents.to(dtype)).float()

    def end_denoising(self) -> None:
        """Free the U-Net's weights, where only pictures are decoded from here on. Its config and precision stay known."""
        self.unet = without_weights(self.unet)
        give_back()


def open_session(
    source: Source, runtime: Runtime, *, vae_dtype: str = "auto", fuse: bool = False, backend: str = "torch",
    loaded: Callable[[nn.Module], object] = lambda network: None, vae_alone: bool = False,
) -> Session:  # fmt: skip
    """Load a model. vae_dtype: auto is fp32 wherever the VAE's config asks for it, else as the rest.

    fuse: to sample only, without looking into the networks: see `fuse_networks`. backend: torch, or the engine of the U-Net.
    loaded: called with each network as soon as nothing here needs its weights any more, and before the next is read.
    vae_alone: only its VAE is to be used, so that it need not fit the rest.
    """
    if backend in ENGINES:
        ENGINES[backend].check(runtime.device, runtime.dtype)
    picking = source.picking
    use_mask = bool(ldm_settings(source.path).get("text_mask", False))
    text = load_conditioner(source.path, source.tokenizer, use_mask=use_mask, **picking)
    states = text.states([text.tokens("")]) if source.path.is_file() else torch.empty(0)  # a file's network may have to be asked with them
    with_loras(text.encoder, "text_encoder", source.loras)
    text.encoder.to(runtime.device, runtime.dtype)
    loaded(text.encoder)
    unet = load_unet(source.path, **picking)
    schedule = schedule_from_file(scheduler_config(source.path, unet, states, source.prediction))
    with_native_size(source.path, unet, schedule.prediction)
    with_loras(unet, "unet", source.loras)
    unet.to(runtime.device, runtime.dtype)
    loaded(unet)
    vae = load_vae(source.vae, **picking)
    if not vae_alone:
        check_fit(unet, vae, text)
    chosen = DTYPES.get(vae_dtype, torch.float32 if vae.config.force_upcast else runtime.dtype)
    vae.to(runtime.device, chosen)
    loaded(vae)
    notes = correction_notes((source.path, "scheduler"), (source.path, "unet"), (source.vae, "vae"))
    session = Session(unet, vae, text, schedule, runtime.device, notes)
    if backend in ENGINES:
        session.unet = ENGINES[backend](unet, (root := user_cache()) and root / backend)
        session.notes += (f"{backend} compiles the U-Net for a size and number of pictures when it first meets them; what it read is kept",)
    names = ("text_encoder", "vae", *(("unet",) if backend == "torch" else ()))
    return fuse_networks(session, names) if fuse else session


def fuse_networks(session: Session, names: Sequence[str] = ("text_encoder", "unet", "vae")) -> Session:
    """The session with inference copies in place of these networks, as far as they run in fp32 on a CPU; the others stay."""
    if session.device.type == "cpu":
        keep_freed_memory()
    if "text_encoder" in names:
        prepare_text(session.text.encoder)
    if "unet" in names:
        session.unet = inference_unet(session.unet)
    if "vae" in names:
        prepare_decoder(session.vae)
    return session
