"""A model that is open, for Python: what the commands do with one picture, and every step on the way there."""

from collections.abc import Iterator, Sequence
from typing import Unpack

import torch
from PIL import Image
from torch import Tensor

from ldmcli.api.arguments import DRAWING, DrawingArguments, read_arguments
from ldmcli.api.checks import embedding_of, latents_of, one_text, picture_of, pixels_of, texts_of, timestep_of
from ldmcli.api.drawing import decode_one, draw, plan, steps
from ldmcli.api.names import schedule as schedule_of
from ldmcli.api.parts import Part, description, parts_of
from ldmcli.api.picture import Picture
from ldmcli.api.step import Step
from ldmcli.api.wording import python_words
from ldmcli.config.checks import check
from ldmcli.config.generation import GenerateConfig
from ldmcli.diffusion.noise import noise_for
from ldmcli.diffusion.objective import add_noise
from ldmcli.diffusion.schedule import NoiseSchedule
from ldmcli.engine.sampling.open_model import OpenModel
from ldmcli.models.scorer import Scorer, load_scorer
from ldmcli.models.scorer_source import find_scorer, scorer_for
from ldmcli.networks.attention import TextContext

# B prompts or latents, C latent channels, h w latent size, L tokens, D text width


class Pipeline:
    """What `ldmcli.load` returns. Call it with a prompt for a picture; the methods are the steps on the way there.

    Latents are what the VAE makes of a picture, scaled to unit variance: (1, C, h, w) float32, a small part of the picture's side high
    and wide. A seed names the noise that a picture starts from, the same on every machine. All errors are LdmError.
    """

    def __init__(self, model: OpenModel, config: GenerateConfig) -> None:
        """Called by `load`. config: the options that the model was opened with."""
        self._model, self._session, self._config = model, model.session, config
        self._scorers: dict[str, Scorer] = {}
        self._parts = parts_of(model.session)

    @property
    def parts(self) -> list[Part]:
        """The networks and their sizes."""
        return list(self._parts)

    @property
    def schedule(self) -> NoiseSchedule:
        """How much noise there is at each timestep of this model; its `alphas_cumprod`, (T,), is the share of the picture's variance."""
        return self._session.schedule

    @property
    def notes(self) -> tuple[str, ...]:
        """What was corrected in the model's own files, in sentences."""
        return self._session.notes

    @python_words()
    def __call__(self, prompt: str, *, seed: int | None = None, **options: Unpack[DrawingArguments]) -> Picture:
        """Draw a picture: the one that `ldm generate PROMPT --seed SEED` draws, with the same record inside when it is saved.

        seed: None draws one, which the record names. options: negative_prompt, preset, scheduler, steps, cfg, cfg_rescale,
        cfg_interval, cfg_reuse, spacing, sigma_clip, weighting, long_prompts, width, height, size ("64x64"), tiled_decode, upscale,
        resample, init_image, strength, mask and variation, as `ldm generate --help` explains them; seed_to, prompt_to and share
        (0 to 1) for a picture on the way to another. The model's defaults hold for what is not passed. Warns of a prompt that is
        too long and of a size beyond the model's.
        """
        job, settings = plan(self._model, self._config, prompt, {"seed": seed, **options})
        return draw(self._model, job, settings)

    @python_words()
    def sample(self, prompt: str, *, seed: int | None = None, **options: Unpack[DrawingArguments]) -> Iterator[Step]:
        """The same picture step by step: a Step for each evaluation of the network, the last one with `picture`. Arguments as above."""
        job, settings = plan(self._model, self._config, prompt, {"seed": seed, **options})
        return steps(self._model, job, settings)

    @torch.no_grad()
    @python_words()
    def encode_image(self, picture: Image.Image) -> Tensor:
        """Latents (1, C, h, w) of a Pillow picture: the mean of what the VAE's encoder says. Transparent parts are white.

        Raises LdmError where a side of the picture is no multiple of the VAE's factor.
        """
        pixels = pixels_of(picture, self._session.vae.config.downscale, "encode_image")
        return self._session.encode(pixels)[0]

    @python_words()
    def decode(self, latents: Tensor) -> Image.Image:
        """The picture of latents (1, C, h, w) or (C, h, w), by the VAE's decoder. It has no record."""
        return decode_one(self._session, latents_of(latents, self._session.vae.config.latent_channels, "decode", one=True))[0]

    @python_words()
    def noise(self, seed: int, *, width: int | None = None, height: int | None = None) -> Tensor:
        """The standard normal noise (1, C, h, w) that pictures of this seed and size in pixels start from."""
        settings = self._model.settings(read_arguments(self._config, {"width": width, "height": height}, DRAWING, "noise"))
        shape = self._session.latent_shape(settings.width, settings.height)
        return noise_for([self._seed(seed, "noise")], shape).to(self._session.device)

    @python_words()
    def add_noise(self, latents: Tensor, timestep: int, *, seed: int, schedule: str | NoiseSchedule | None = None) -> Tensor:
        """Latents with the noise of a seed, as training adds it at a timestep from 0 to 999: x_t = sqrt(ab) x_0 + sqrt(1 - ab) noise.

        latents: (1, C, h, w) or (C, h, w). schedule: cosine, scaled-linear or linear; None is the model's own. Returns (1, C, h, w).
        """
        clean = latents_of(latents, self._session.vae.config.latent_channels, "add_noise", one=True)
        chosen = self.schedule if schedule is None else schedule_of(schedule) if isinstance(schedule, str) else schedule
        t = torch.tensor([timestep_of(timestep, chosen, "add_noise")], device=clean.device)
        _, channels, height, width = clean.shape
        noise = noise_for([self._seed(seed, "add_noise")], (channels, height, width)).to(clean.device)
        return add_noise(chosen, clean, noise, t)

    @python_words()
    def tokens(self, text: str) -> list[tuple[int, str]]:
        """What the text encoder reads: L pairs of number and piece of text, from the start token over the end token to the pads."""
        ids = self._session.text.tokens(one_text(text, "tokens")).ids
        return list(zip(ids.tolist(), self._session.text.tokenizer.words(ids), strict=True))

    @python_words()
    def embed(self, text: str | Sequence[str]) -> tuple[Tensor, Tensor]:
        """A prompt or several as the U-Net sees them: (vectors (B, L, D), mask (B, L) bool). The empty prompt is "".

        mask: True where the U-Net attends; everywhere, pads too, unless the model was trained with --text-mask.
        """
        context = self._session.encode_prompts(texts_of(text, "embed"), (), guided=False)
        everything = torch.ones(context.states.shape[:2], dtype=torch.bool, device=context.states.device)
        return context.states.float(), everything if context.mask is None else context.mask

    @torch.no_grad()
    @python_words()
    def predict(self, latents: Tensor, timestep: float, vectors: Tensor, mask: Tensor | None = None) -> Tensor:
        """The U-Net's answer, noise or v as `schedule.prediction` says, for noisy latents (B, C, h, w) at one timestep. (B, C, h, w).

        vectors, mask: what `embed` returns for B prompts, or for one that holds for all; mask None attends everywhere.
        """
        unet, device = self._session.unet, self._session.device
        x = latents_of(latents, unet.config.in_channels, "predict")
        dtype = unet.conv_in.weight.dtype
        vectors, mask = embedding_of(vectors, mask, (len(x), unet.config.cross_attention_dim), "predict")
        context = TextContext(vectors.to(device, dtype), None if mask is None else mask.to(device))
        t = torch.full((len(x),), float(timestep), device=device)
        return unet(x.to(device, dtype), t, context).float()

    @python_words()
    def score(self, picture: Image.Image, text: str, *, clip_model: str | None = None) -> float:
        """CLIPScore of a picture and a text: 100 times the cosine of their CLIP vectors, `clip_score` of `ldm clipscore`.

        clip_model: bundled, a folder or a hub id; None is the bundled one for the bundled model, whose scores compare only among
        themselves, and else openai/clip-vit-large-patch14. Hessel's scale is 2.5 times the cosine.
        """
        pictures, texts = [picture_of(picture, "score")], [one_text(text, "score")]
        name = clip_model or scorer_for(self._model.source.name)
        if name not in self._scorers:
            self._scorers[name] = load_scorer(find_scorer(name, offline=self._config.offline), self._session.device)
        return 100 * float(self._scorers[name].score(pictures, texts))

    def _seed(self, seed: int, call: str) -> int:
        number = read_arguments(self._config, {"seed": seed}, DRAWING, call).seed
        check(number is not None, f"{call} needs the seed of its noise.", "Pass seed=1, or any other whole number.")
        assert number is not None
        return number

    def __repr__(self) -> str:
        return description(self._model, self._parts, self._model.settings(self._config))
