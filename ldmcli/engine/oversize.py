"""Pictures of more pixels than a model was trained on: what is said of them before they are drawn."""

import math

from ldmcli.engine.session import Session

BEYOND = 2
"""Times the side of the training pictures up to which a network still draws one picture and not a texture."""
LARGEST_UPSCALE = 32


def size_warnings(width: int, height: int, session: Session) -> tuple[str, ...]:
    """A picture of more than BEYOND times the native side falls apart; enlarging one that fits costs nothing."""
    native, scale = session.native_size, session.vae.config.downscale
    times = math.ceil(max(width, height) / native)
    if max(width, height) <= BEYOND * native:
        return ()
    step = max(scale, 8)  # what --size takes
    small_width, small_height = (max(round(side / times / step), 1) * step for side in (width, height))
    return (
        f"{width} x {height} is {max(width, height) / native:.2g} times the size of this model, {native} x {native}: expect texture, "
        f"and a long wait; --size {small_width}x{small_height} --upscale {min(times, LARGEST_UPSCALE)} draws what it knows and enlarges it",
    )
