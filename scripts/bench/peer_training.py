"""The loop of diffusers' examples/text_to_image/train_text_to_image.py, for scripts/bench/training.py; run as a process of its own.

    python scripts/bench/peer_training.py JOB_AS_JSON

Operation by operation what that script does, with the same classes: pictures decoded, scaled and normalised by a DataLoader, the VAE and
the text encoder in every step, accelerate around all of it. Pillow stands for torchvision and metadata.jsonl is read without `datasets`.
Prints when the loop began and when each step ended.
"""

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import CLIPTextModel, CLIPTokenizer


class Pictures(torch.utils.data.Dataset):
    """A folder with metadata.jsonl; every access decodes, as `with_transform` does."""

    def __init__(self, folder: Path, size: int, tokenizer: Any) -> None:
        self.folder, self.size, self.tokenizer = folder, size, tokenizer
        self.rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """pixel_values: (3, size, size) in -1..1; input_ids: (L,)."""
        row = self.rows[number]
        caption = random.choice(row["text"]) if isinstance(row["text"], list) else row["text"]
        return {"pixel_values": read_picture(self.folder / row["file_name"], self.size), "input_ids": self.ids(caption)}

    def ids(self, caption: str) -> Tensor:
        options = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
        return self.tokenizer([caption], max_length=self.tokenizer.model_max_length, **options).input_ids[0]


def read_picture(path: Path, size: int) -> Tensor:
    """--center_crop: shorter side to `size`, bilinear, the centre. Returns (3, size, size) in -1..1."""
    with Image.open(path) as file:
        square = ImageOps.fit(file.convert("RGB"), (size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(square, dtype=np.float32) / 255).permute(2, 0, 1).sub(0.5).div(0.5)


def collate(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    pixels = torch.stack([row["pixel_values"] for row in rows])
    return {"pixel_values": pixels.contiguous().float(), "input_ids": torch.stack([row["input_ids"] for row in rows])}


def train(job: dict[str, Any]) -> dict[str, Any]:
    """When the loop began and when each step ended.

    With job["keep"] the U-Net that the script would ship is written to job["output"]/unet.
    """
    accelerator = Accelerator(mixed_precision=job["precision"], cpu=True)
    set_seed(job["seed"])
    models = Path(job["encoders"])
    schedule = DDPMScheduler.from_pretrained(job["scheduler"])
    tokenizer = CLIPTokenizer.from_pretrained(models / "tokenizer")
    text_encoder = CLIPTextModel.from_pretrained(models / "text_encoder").requires_grad_(False)
    vae = AutoencoderKL.from_pretrained(models / "vae").requires_grad_(False)
    unet = UNet2DConditionModel.from_pretrained(Path(job["init"]) / "unet").train()
    ema = None
    if job["ema"]:
        ema = EMAModel(unet.parameters(), job["ema"], model_cls=UNet2DConditionModel, model_config=unet.config, foreach=True)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=job["lr"], betas=(0.9, 0.99), weight_decay=0.01, eps=1e-8)
    data = Pictures(Path(job["data"]), job["size"], tokenizer)
    loader = torch.utils.data.DataLoader(data, shuffle=True, collate_fn=collate, batch_size=job["batch_size"], num_workers=0)
    rate = get_scheduler("constant", optimizer, num_warmup_steps=0, num_training_steps=job["steps"])
    unet, optimizer, loader, rate = accelerator.prepare(unet, optimizer, loader, rate)
    dtype = torch.bfloat16 if accelerator.mixed_precision == "bf16" else torch.float32
    text_encoder.to(accelerator.device, dtype=dtype)
    vae.to(accelerator.device, dtype=dtype)
    clock = getattr(time, job["clock"])
    ready, ends = clock(), list[float]()
    bar = tqdm(range(job["steps"]), desc="Steps")
    while len(ends) < job["steps"]:
        for batch in loader:
            with accelerator.accumulate(unet):
                latents = vae.encode(batch["pixel_values"].to(dtype)).latent_dist.sample() * vae.config.scaling_factor
                noise = torch.randn_like(latents)
                t = torch.randint(0, schedule.config.num_train_timesteps, (len(latents),), device=latents.device).long()
                noisy = schedule.add_noise(latents, noise, t)
                states = text_encoder(batch["input_ids"], return_dict=False)[0]
                answer = unet(noisy, t, states, return_dict=False)[0]
                loss = F.mse_loss(answer.float(), noise.float(), reduction="mean")
                accelerator.gather(loss.repeat(job["batch_size"])).mean().item()
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(unet.parameters(), 1.0)
                optimizer.step()
                rate.step()
                optimizer.zero_grad()
            if ema is not None:
                ema.step(unet.parameters())
            bar.update(1)
            bar.set_postfix(step_loss=loss.detach().item(), lr=rate.get_last_lr()[0])
            ends.append(clock())
            if len(ends) == job["steps"]:
                break
    if job["keep"]:
        unet = accelerator.unwrap_model(unet)
        if ema is not None:
            ema.copy_to(unet.parameters())
        unet.save_pretrained(Path(job["output"]) / "unet")
    return {"ready": ready, "ends": ends}


if __name__ == "__main__":
    print(json.dumps(train(json.loads(sys.argv[1]))))
