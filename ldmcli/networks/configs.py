"""config.json of the three networks: what we honour becomes a field, what we cannot honour is an error that names it."""

from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Self

from ldmcli.errors import LdmError
from ldmcli.readers.rules import Either, Flag, Listed, Number, Record, Rule, Text, optional, whole
from ldmcli.readers.rules import check as check_rule

DIFFUSERS_VERSION = "0.42.1"
"""Written into config.json; diffusers asks it to decide about old files."""


DEFAULT_SCALE = 0.18215
"""The VAE's scaling_factor where nothing states one, as in diffusers: that of Stable Diffusion."""


MOST_BLOCKS = 512
"""Transformer or residual blocks along a whole network; Stable Diffusion has 32, XL 70."""

CHANNELS, GROUPS, NAMES = whole(1, 32_768), whole(1, 4_096), Listed(Text(), 8, 1)
LEVELS = Listed(CHANNELS, 8, 1)
SIDES = Either(whole(1, 8_192), Listed(whole(1, 8_192), 2, 2))


def ruled(default: Any, rule: Rule) -> Any:
    """A field with what its values must be."""
    return field(default=default, metadata={"rule": rule})


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

    def __post_init__(self) -> None:
        """Raise LdmError that names the first key whose value is out of its bounds."""
        rules = Record({each.name: each.metadata["rule"] for each in fields(self)})
        check_rule(vars(self), rules, f"{self.CLASS_NAME} config")

    def to_dict(self) -> dict[str, Any]:
        """The config.json that diffusers or transformers reads."""
        body = {f.name: list(v) if isinstance(v := getattr(self, f.name), tuple) else v for f in fields(self)}
        return {"_class_name": self.CLASS_NAME, "_diffusers_version": DIFFUSERS_VERSION, **body}


@dataclass(frozen=True, kw_only=True)
class VAEConfig(NetworkConfig):
    """diffusers AutoencoderKL."""

    CLASS_NAME = "AutoencoderKL"
    ONLY = {"act_fn": "silu"}

    in_channels: int = ruled(3, whole(1, 64))
    out_channels: int = ruled(3, whole(1, 64))
    down_block_types: tuple[str, ...] = ruled(("DownEncoderBlock2D",), NAMES)
    up_block_types: tuple[str, ...] = ruled(("UpDecoderBlock2D",), NAMES)
    block_out_channels: tuple[int, ...] = ruled((64,), LEVELS)
    layers_per_block: int = ruled(1, whole(1, 32))
    latent_channels: int = ruled(4, whole(1, 4_096))
    norm_num_groups: int = ruled(32, GROUPS)
    sample_size: int | tuple[int, int] = ruled(32, optional(SIDES))
    scaling_factor: float = ruled(DEFAULT_SCALE, Number(0, 1e6, above=True))
    force_upcast: bool = ruled(True, Flag())
    use_quant_conv: bool = ruled(True, Flag())
    use_post_quant_conv: bool = ruled(True, Flag())
    mid_block_add_attention: bool = ruled(True, Flag())

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_levels(self, {"down_block_types": ("DownEncoderBlock2D",), "up_block_types": ("UpDecoderBlock2D",)})

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

    sample_size: int | tuple[int, int] | None = ruled(None, optional(SIDES))
    in_channels: int = ruled(4, whole(1, 4_096))
    out_channels: int = ruled(4, whole(1, 4_096))
    center_input_sample: bool = ruled(False, optional(Flag()))
    flip_sin_to_cos: bool = ruled(True, Flag())
    freq_shift: int = ruled(0, Number(-1, 1))
    down_block_types: tuple[str, ...] = ruled((*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"), NAMES)
    up_block_types: tuple[str, ...] = ruled(("UpBlock2D", *["CrossAttnUpBlock2D"] * 3), NAMES)
    block_out_channels: tuple[int, ...] = ruled((320, 640, 1280, 1280), LEVELS)
    layers_per_block: int = ruled(2, whole(1, 32))
    norm_num_groups: int = ruled(32, GROUPS)
    norm_eps: float = ruled(1e-5, Number(0, 1, above=True))
    cross_attention_dim: int = ruled(1280, CHANNELS)
    transformer_layers_per_block: int = ruled(1, whole(1, 32))
    attention_head_dim: int | tuple[int, ...] = ruled(8, Either(whole(1, 1_024), Listed(whole(1, 1_024), 8, 1)))
    use_linear_projection: bool = ruled(False, optional(Flag()))
    upcast_attention: bool = ruled(False, optional(Flag()))

    def __post_init__(self) -> None:
        super().__post_init__()
        down, up = ("CrossAttnDownBlock2D", "DownBlock2D"), ("CrossAttnUpBlock2D", "UpBlock2D")
        if self.in_channels != self.out_channels:
            raise LdmError(
                f"UNet2DConditionModel config: in_channels = {self.in_channels}, out_channels = {self.out_channels}; "
                "models that take more than noisy latents (inpainting, depth, upscaling) are not supported.",
                hint="Stable Diffusion 1.x and 2.x text-to-image models are supported.",
            )
        lists = ["attention_head_dim"] if isinstance(self.attention_head_dim, tuple) else []
        _check_levels(self, {"down_block_types": down, "up_block_types": up}, *lists)
        depth = len(self.block_out_channels) * (2 * self.layers_per_block + 1) * self.transformer_layers_per_block
        if depth > MOST_BLOCKS:
            raise LdmError(f"UNet2DConditionModel config: layers_per_block and its like make {depth} blocks; at most {MOST_BLOCKS} fit.")
        for width, heads, kind in zip(self.block_out_channels, self.heads, self.down_block_types, strict=True):
            if kind.startswith("CrossAttn") and width % heads:
                raise LdmError(f"UNet2DConditionModel config: attention_head_dim = {heads} heads do not divide {width} channels.")
        if self.block_out_channels[0] % 2:
            raise LdmError(f"UNet2DConditionModel config: block_out_channels[0] = {self.block_out_channels[0]}; an even number is needed.")

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

    vocab_size: int = ruled(49408, whole(1, 1_000_000))
    hidden_size: int = ruled(512, CHANNELS)
    intermediate_size: int = ruled(2048, whole(1, 131_072))
    num_hidden_layers: int = ruled(12, whole(1, 128))
    num_attention_heads: int = ruled(8, whole(1, 1_024))
    max_position_embeddings: int = ruled(77, whole(3, 4_096))
    hidden_act: str = ruled("quick_gelu", Text())
    layer_norm_eps: float = ruled(1e-5, Number(0, 1, above=True))
    eos_token_id: int = ruled(49407, whole(0, 2**24))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_size % self.num_attention_heads:
            raise LdmError(f"CLIPTextModel config: num_attention_heads = {self.num_attention_heads} does not divide hidden_size.")
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
