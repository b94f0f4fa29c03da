"""What the denoising loop asks: the U-Net with a batch's prompts, guided at the calls that are."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ldmcli.diffusion.solver import Solver
from ldmcli.networks.attention import TextContext
from ldmcli.networks.unet import UNet

# B pictures, C latent channels, h w latent size


class Predictor:
    """A `diffusion.loop.Predict` of B pictures.

    context: of B rows, or of 2B where there is guidance. guided_calls: for every call, whether both answers are evaluated; None: at all of
    them. reused_calls: which of the others are guided by the direction, cond - uncond of the predicted noise, of the last that was. Where
    the answer is v, its differences say less about the noise the more of it there is, and would mislead a call with less.
    """

    def __init__(
        self, unet: UNet, context: TextContext, pictures: int, solver: Solver,
        guided_calls: Sequence[bool] | None = None, reused_calls: Sequence[bool] | None = None,
    ) -> None:  # fmt: skip
        guided, nowhere = len(context.states) == 2 * pictures, [False] * solver.num_calls
        self.unet, self.both = unet, context
        self.alone = context.second_half() if guided else context
        self.guided_calls = (guided_calls or [True] * solver.num_calls) if guided else nowhere
        self.reused_calls = (guided and reused_calls) or nowhere
        self.noise_shares = solver.noise_shares if any(self.reused_calls) else ()
        self.timesteps = torch.tensor(solver.timesteps, dtype=torch.float32, device=context.states.device)
        self.direction: Tensor | None = None

    def __call__(self, model_input: Tensor, index: int) -> tuple[Tensor | None, Tensor]:
        """(uncond, cond) of x_t (B, C, h, w), each of that shape; uncond is None where there is no guidance.

        Where the direction is used again, uncond is what that leaves of cond, in fp32.
        """
        x, t = model_input.to(self.unet.conv_in.weight.dtype), self.timesteps[index]
        if self.guided_calls[index]:
            uncond, cond = self.unet(torch.cat([x, x]), t.expand(2 * len(x)), self.both).chunk(2)
            if self.noise_shares:
                self.direction = (cond.float() - uncond.float()) * self.noise_shares[index]
            return uncond, cond
        cond = self.unet(x, t.expand(len(x)), self.alone)
        if self.direction is None or not self.reused_calls[index]:
            return None, cond
        return cond.float() - self.direction / self.noise_shares[index], cond
