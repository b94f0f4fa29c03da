"""What the denoising loop asks: the U-Net with a batch's prompts, guided at the calls that are."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ldmcli.networks.attention import TextContext
from ldmcli.networks.unet import UNet

# B pictures, C latent channels, h w latent size, S calls of the solver


class Predictor:
    """A `diffusion.loop.Predict` of B pictures.

    context: of B rows, or of 2B where there is guidance; timesteps: (S,). guided_calls: for every call, whether both answers are evaluated;
    None: at all of them. reused_calls: which of the others are guided by cond - uncond of the last that evaluated both.
    """

    def __init__(
        self, unet: UNet, context: TextContext, pictures: int, timesteps: Tensor,
        guided_calls: Sequence[bool] | None = None, reused_calls: Sequence[bool] | None = None,
    ) -> None:  # fmt: skip
        guided = len(context.states) == 2 * pictures
        self.unet, self.timesteps, self.both = unet, timesteps, context
        self.alone = context.second_half() if guided else context
        self.guided_calls = (guided_calls or [True] * len(timesteps)) if guided else [False] * len(timesteps)
        self.reused_calls = (guided and reused_calls) or [False] * len(timesteps)
        self.direction: Tensor | None = None

    def __call__(self, model_input: Tensor, index: int) -> tuple[Tensor | None, Tensor]:
        """(uncond, cond) of x_t (B, C, h, w), each of that shape; uncond is None where there is no guidance.

        Where the direction is used again, uncond is what that leaves of cond, in fp32.
        """
        x = model_input.to(self.unet.conv_in.weight.dtype)
        t = self.timesteps[index]
        if self.guided_calls[index]:
            uncond, cond = self.unet(torch.cat([x, x]), t.expand(2 * len(x)), self.both).chunk(2)
            self.direction = cond.float() - uncond.float() if any(self.reused_calls) else None
            return uncond, cond
        cond = self.unet(x, t.expand(len(x)), self.alone)
        again = self.reused_calls[index] and self.direction is not None
        return cond.float() - self.direction if again else None, cond
