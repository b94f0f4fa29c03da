"""Copy a trained run into the package as the bundled model: fp16 weights, the model's own defaults, attribution.

python scripts/bundle/ship.py --run UNET_RUN --data DIR [--scorer FOLDER] [--scheduler NAME --steps N --cfg X]
"""

import argparse
import json
import shutil
from pathlib import Path

import torch

from ldmcli.models.layout import read_json
from ldmcli.models.loading import load_text_encoder, load_unet, load_vae
from ldmcli.models.saving import copy_component, save_component, save_pipeline_files
from ldmcli.models.scorer_source import BUNDLED_SCORER
from ldmcli.models.source import BUNDLED

EXAMPLES = Path(__file__).with_name("examples.txt")
"""What `ldm generate` suggests to those who give no prompt."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="the train-unet run")
    parser.add_argument("--data", type=Path, required=True, help="the data set, for its attribution")
    parser.add_argument("--scorer", type=Path, help="train_scorer.py's folder, to ship as well")
    parser.add_argument("--scheduler", default="dpm++2m")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--cfg", type=float, default=3.0)
    args = parser.parse_args()
    model = args.run / "model"
    kept = BUNDLED / "README.md"
    card = kept.read_text() if kept.is_file() else ""
    shutil.rmtree(BUNDLED, ignore_errors=True)
    for name, network in (("vae", load_vae(model)), ("unet", load_unet(model)), ("text_encoder", load_text_encoder(model))):
        save_component(BUNDLED, name, network.config, network.state_dict(), torch.float16)
    copy_component(model / "tokenizer", BUNDLED, "tokenizer")
    own = read_json(model / "model_index.json")["_ldm"]
    own["defaults"] = {"scheduler": args.scheduler, "steps": args.steps, "cfg": args.cfg}
    own["examples"] = EXAMPLES.read_text().splitlines()
    save_pipeline_files(BUNDLED, read_json(model / "scheduler" / "scheduler_config.json"), {"_ldm": own})
    shutil.copy(args.data / "ATTRIBUTION.md", BUNDLED / "ATTRIBUTION.md")
    if card:
        kept.write_text(card)
    if args.scorer:
        for file in args.scorer.iterdir():
            shutil.copy(file, BUNDLED_SCORER)
    size = sum(path.stat().st_size for folder in (BUNDLED, BUNDLED_SCORER) for path in folder.rglob("*") if path.is_file())
    print(json.dumps({"folder": str(BUNDLED), "bytes": size, "defaults": own["defaults"]}))


if __name__ == "__main__":
    main()
