"""U-Net and text tower as one network, for training both."""

from torch import Tensor, nn

from ldmcli.networks.attention import TextContext
from ldmcli.networks.clip_text import CLIPText
from ldmcli.networks.unet import UNet


class TextUNet(nn.Module):
    """A U-Net that reads its prompts itself. One module, so that gradients, averages and processes see both parts."""

    def __init__(self, unet: UNet, text_encoder: CLIPText) -> None:
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder

    def forward(self, latents: Tensor, timesteps: Tensor, context: TextContext) -> Tensor:
        """latents: (B, C, h, w); timesteps: (B,); context.states: (B, L) int32, tokens still to be encoded. Returns (B, C, h, w)."""
        return self.unet(latents, timesteps, TextContext(self.text_encoder(context.states), context.mask))
