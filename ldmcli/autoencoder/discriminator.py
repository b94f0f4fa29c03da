"""The patch discriminator and its losses: what makes a decoder draw texture instead of blur (Esser et al. 2021, sec. 3.1).

After CompVis' LPIPSWithDiscriminator (latent-diffusion, contperceptual.py) and NLayerDiscriminator (taming-transformers).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# B pictures, H W picture size, h w size of the score map

LARGEST_BALANCE = 1e4
"""Of `balance`, as in contperceptual.py."""


class PatchDiscriminator(nn.Module):
    """Says of every patch how real it looks (Isola et al. 2017, sec. 3.2.2): strided 4 x 4 convolutions, then a score per place.

    GroupNorm stands where the published one has BatchNorm: a picture's scores do not depend on the rest of its batch, so that
    several processes see what one would.
    """

    def __init__(self, halvings: int = 3, width: int = 64, groups: int = 32) -> None:
        """halvings: 3 sees patches of 70 pixels and needs pictures of at least 24; 2 sees 34 and needs 12."""
        super().__init__()
        widths = [width * min(2**level, 8) for level in range(halvings + 1)]
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for level in range(1, halvings + 1):
            stride = 2 if level < halvings else 1
            layers += [
                nn.Conv2d(widths[level - 1], widths[level], 4, stride=stride, padding=1, bias=False),
                nn.GroupNorm(groups, widths[level]),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.02)  # Isola et al. 2017, sec. 6.2

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures: (B, 3, H, W) in about [-1, 1]. Returns (B, 1, h, w) scores without bounds, high for real."""
        return self.layers(pictures)


def hinge_loss(real: Tensor, fake: Tensor) -> Tensor:
    """What the discriminator minimises: real scores above 1, fake ones below -1 (Lim & Ye 2017). Any shapes. Returns a scalar."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def fooling_loss(fake: Tensor) -> Tensor:
    """What the decoder minimises beside its reconstruction: the negative score of what it drew. Returns a scalar."""
    return -fake.mean()


def balance(rebuilding: Tensor, fooling: Tensor) -> Tensor:
    """The weight at which both losses pull equally hard on the decoder's last layer (Esser et al. 2021, eq. 7), at most 1e4.

    Both: the gradient of one loss there. Returns a scalar; 0 where a gradient is not finite (the loss then is not finite either,
    or the loss scaler of half precision takes the step back).
    """
    ratio = rebuilding.norm() / fooling.norm().clamp(min=torch.finfo(fooling.dtype).tiny)
    return ratio.nan_to_num(nan=0.0, posinf=LARGEST_BALANCE).clamp(max=LARGEST_BALANCE)
