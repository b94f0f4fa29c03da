"""Draw the README's strip: one picture on its way, with `ldm generate --progressive strip` itself.

python scripts/readme/progress.py [-o scripts/readme/progress.png] [-m MODEL]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "progress.png")
    parser.add_argument("-m", "--model", default="bundled")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "ldmcli",
            "generate",
            "a red car",
            "--progressive",
            "strip",
            "--upscale",
            "2",
            "--seed",
            "1",
            "--json",
        ]
        report = subprocess.run([*command, "-m", args.model, "-o", f"{folder}/car.png"], check=True, stdout=subprocess.PIPE).stdout
        print(shutil.copy(json.loads(report)["images"][0]["progress"], args.output))


if __name__ == "__main__":
    main()
