"""StableDiffusionPipeline on a folder that we wrote."""

import diffusers
import numpy as np
import torch


def drawn_by_diffusers(model, scheduler, prompts, seeds, *, steps, cfg, negative="", size=None, loras=(), **settings):
    """What the pipeline draws with one generator per picture: a list of (H, W, 3) int arrays. loras: (file, scale) each."""
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(model, local_files_only=True)
    for number, (path, _) in enumerate(loras):
        pipeline.load_lora_weights(path.parent, weight_name=path.name, adapter_name=f"lora{number}")
    if loras:
        pipeline.set_adapters([f"lora{number}" for number in range(len(loras))], [scale for _, scale in loras])
    pipeline.set_progress_bar_config(disable=True)
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
