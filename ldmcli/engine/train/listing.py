"""Which pictures and captions a run is to learn from. Imports no torch, so that mistakes in them are told at once."""

from ldmcli.config.training import TrainConfig
from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.layouts import load_captioned
from ldmcli.data.shards import Keys
from ldmcli.data.streamed import load_streamed


def captioned(config: TrainConfig) -> CaptionedImages:
    """The pictures and captions that the options name. Raises LdmError."""
    keys = Keys(config.image_key, config.caption_key) if config.image_key or config.caption_key else None
    if config.stream:
        return load_streamed(config.data, keys=keys, limit=config.limit, kept=2 * config.shuffle_block + 2)
    return load_captioned(
        config.data, images=config.images, captions=config.captions, limit=config.limit, allow_missing=config.allow_missing, keys=keys
    )
