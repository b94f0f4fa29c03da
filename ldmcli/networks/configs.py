"""config.json of the three networks: what we honour becomes a field, what we cannot honour is an error that names it."""

import math
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Self

from ldmcli.errors import LdmError

DIFFUSERS_VERSION = "0.42.1"
"""Written into config.json; diffusers asks it to decide about old files."""


DEFAULT_SCALE = 0.18215
"""The VAE's scaling_factor where nothing states one, as in diffusers: that of Stable Diffusion."""


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Shared reading and writing. `ONLY` lists keys that we accept at one value (None and absence are always fine)."""

    CLASS_NAME: ClassVar[str]
    ONLY: ClassVar[dict[str, Any]] = {}
    IGNORED: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Self:
        """Raises LdmError that names the first key whose value this implementation cannot honour."""
        known = {f.name for f in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in raw.items():
            if key.startswith("_") or key in cls.IGNORED:
                continue
            if key in known:
                values[key] = tuple(value) if isinstance(value, list) else value
            elif value is not None and value is not False and value != cls.ONLY.get(key, MISSING):
                expected = f"only {cls.ONLY[key]!r} is supported" if key in cls.ONLY else "this key is not supported"
                raise LdmError(
                    f"{cls.CLASS_NAME} config: {key} = {value!r}; {expected}.",
                    hint="Stable Diffusion 1.x and 2.x models are supported.",
                )
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The config.json that diffusers or transformers reads."""
        body = {f.name: list(v) if isinstance(v := getattr(self, f.name), tuple) else v for f in fields(self)}
        return {"_class_name": self.CLASS_NAME, "_diffusers_version": DIFFUSERS_VERSION, **body}


@dataclass(frozen=True, kw_only=True)
class VAEConfig(NetworkConfig):
    """diffusers AutoencoderKL."""

    CLASS_NAME = "AutoencoderKL"
    ONLY = {"act_fn": "silu"}

    in_channels: int = 3
    out_channels: int = 3
    down_block_types: tuple[str, ...] = ("DownEncoderBlock2D",)
    up_block_types: tuple[str, ...] = ("UpDecoderBlock2D",)
    block_out_channels: tuple[int, ...] = (64,)
    layers_per_block: int = 1
    latent_channels: int = 4
    norm_num_groups: int = 32
    sample_size: int | tuple[int, int] = 32
    scaling_factor: float = DEFAULT_SCALE
    force_upcast: bool = True
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True
    mid_block_add_attention: bool = True

    def __post_init__(self) -> None:
        _check_levels(self, {"down_block_types": ("DownEncoderBlock2D",), "up_block_types": ("UpDecoderBlock2D",)})
        if not isinstance(self.scaling_factor, int | float) or not 0 < self.scaling_factor < math.inf:
            raise LdmError(f"AutoencoderKL config: scaling_factor = {self.scaling_factor!r}; a number above 0 is needed.")

    @property
    def downscale(self) -> int:
        """Picture pixels per latent pixel along one side (8 for Stable Diffusion)."""
        return 2 ** (len(self.block_out_channels) - 1)


@dataclass(frozen=True, kw_only=True)
class UNetConfig(NetworkConfig):
    """diffusers UNet2DConditionModel."""

    CLASS_NAME = "UNet2DConditionModel"
    ONLY = {
        "act_fn": "silu",
        "attention_type": "default",
        "addition_embed_type_num_heads": 64,
        "conv_in_kernel": 3,
        "conv_out_kernel": 3,
        "downsample_padding": 1,
        "dropout": 0.0,
        "mid_block_scale_factor": 1,
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "resnet_out_scale_factor": 1.0,
        "resnet_time_scale_shift": "default",
        "time_embedding_type": "positional",
    }

    sample_size: int | tuple[int, int] | None = None
    in_channels: int = 4
    out_channels: int = 4
    center_input_sample: bool = False
    flip_sin_to_cos: bool = True
    freq_shift: int = 0
    down_block_types: tuple[str, ...] = ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")
    up_block_types: tuple[str, ...] = ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D")
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    norm_num_groups: int = 32
    norm_eps: float = 1e-5
    cross_attention_dim: int = 1280
    transformer_layers_per_block: int = 1
    attention_head_dim: int | tuple[int, ...] = 8
    use_linear_projection: bool = False
    upcast_attention: bool = False

    def __post_init__(self) -> None:
        down, up = ("CrossAttnDownBlock2D", "DownBlock2D"), ("CrossAttnUpBlock2D", "UpBlock2D")
        if self.in_channels != self.out_channels:
            raise LdmError(
                f"UNet2DConditionModel config: in_channels = {self.in_channels}, out_channels = {self.out_channels}; "
                "models that take more than noisy latents (inpainting, depth, upscaling) are not supported.",
                hint="Stable Diffusion 1.x and 2.x text-to-image models are supported.",
            )
        lists = ["attention_head_dim"] if isinstance(self.attention_head_dim, tuple) else []
        _check_levels(self, {"down_block_types": down, "up_block_types": up}, *lists)
        for name in ("layers_per_block", "cross_attention_dim", "transformer_layers_per_block"):
            if not isinstance(getattr(self, name), int):
                raise LdmError(f"UNet2DConditionModel config: {name} = {getattr(self, name)!r}; one whole number is needed.")

    @property
    def heads(self) -> tuple[int, ...]:
        """Attention heads per level. The key is called attention_head_dim but has always held the number of heads."""
        value = self.attention_head_dim
        return value if isinstance(value, tuple) else (value,) * len(self.block_out_channels)


@dataclass(frozen=True, kw_only=True)
class CLIPTextConfig(NetworkConfig):
    """transformers CLIPTextModel (its config.json)."""

    CLASS_NAME = "CLIPTextModel"
    ONLY = {"attention_dropout": 0.0, "dropout": 0.0}
    # What only the initialisation, the tokenizer or generation cares about.
    IGNORED = frozenset(
        "architectures bos_token_id pad_token_id torch_dtype dtype initializer_factor initializer_range model_type projection_dim "
        "transformers_version gradient_checkpointing chunk_size_feed_forward is_encoder_decoder output_attentions "
        "output_hidden_states return_dict id2label label2id problem_type".split()
    )

    vocab_size: int = 49408
    hidden_size: int = 512
    intermediate_size: int = 2048
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 77
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    eos_token_id: int = 49407

    def __post_init__(self) -> None:
        if self.hidden_act not in ("quick_gelu", "gelu"):
            raise LdmError(f"CLIPTextModel config: hidden_act = {self.hidden_act!r}; quick_gelu and gelu are supported.")

    def to_dict(self) -> dict[str, Any]:
        """As transformers' config.json has it."""
        body = {f.name: getattr(self, f.name) for f in fields(self)}
        # Without a stated dtype, transformers 5 keeps fp16 weights in fp16, which the fp32 U-Net of a pipeline cannot take.
        return {"architectures": [self.CLASS_NAME], "model_type": "clip_text_model", "dtype": "float32", **body}


def _check_levels(config: VAEConfig | UNetConfig, allowed: dict[str, tuple[str, ...]], *per_level: str) -> None:
    """Block types that we have, and one entry per level in every key of `allowed` and `per_level`."""
    levels = len(config.block_out_channels)
    for key in (*allowed, *per_level):
        value = getattr(config, key)
        bad = sorted(set(value) - set(allowed.get(key, value)))
        if bad:
            raise LdmError(f"{config.CLASS_NAME} config: {key} has {bad[0]!r}; supported: {', '.join(allowed[key])}.")
        if len(value) != levels:
            raise LdmError(f"{config.CLASS_NAME} config: {key} has {len(value)} entries, block_out_channels has {levels}.")
