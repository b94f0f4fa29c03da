"""StableDiffusionPipeline on a folder that we wrote."""

import diffusers
import numpy as np
import torch


def loaded_pipeline(model, loras=()):
    """The pipeline of a folder. loras: files."""
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(model, local_files_only=True)
    for number, path in enumerate(loras):
        pipeline.load_lora_weights(path.parent, weight_name=path.name, adapter_name=f"lora{number}")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def drawn_by(pipeline, prompts, seeds, *, steps, cfg, scheduler="DDIMScheduler", negative="", size=None, scales=(), **settings):
    """What it draws with one generator per picture: a list of (H, W, 3) int arrays. scales: of as many of its LoRAs."""
    if scales:
        pipeline.set_adapters([f"lora{number}" for number in range(len(scales))], list(scales))
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(pipeline.scheduler.config, **settings)
    pictures = pipeline(
        prompts,
        width=size,
        height=size,
        negative_prompt=[negative] * len(prompts),
        num_inference_steps=steps,
        guidance_scale=cfg,
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
    ).images
    return [np.asarray(picture).astype(int) for picture in pictures]


def drawn_by_diffusers(model, scheduler, prompts, seeds, **options):
    """The same of a folder. options: of `drawn_by`."""
    return drawn_by(loaded_pipeline(model), prompts, seeds, scheduler=scheduler, **options)
