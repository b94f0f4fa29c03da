"""ldm: the command line for latent diffusion."""

__version__ = "0.2.0"
