"""Draw the README's first picture: prompts of one thing and composed ones by the bundled model, with the command itself.

python scripts/readme/contact_sheet.py [-o scripts/readme/contact-sheet.png] [-m MODEL]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from ldmcli.reports.sheets import contact_sheet, save_sheet

PROMPTS = """a dog
a cat
a penguin
a unicorn
an octopus
a butterfly
a pizza
a strawberry
a cupcake
a red car
a rocket
a rainbow
a snowman
a guitar
a robot
a ghost in flat style
a ghost in cartoon style
a ghost in 3d style
a penguin on a yellow background
a guitar, purple background
an owl on a red and blue background
a small dog in the top left corner
a small star at the bottom
two apples
three frogs
a blue heart
a green car
a cat to the left of a red car
a rocket above a planet
a strawberry and a banana""".splitlines()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "contact-sheet.png")
    parser.add_argument("-m", "--model", default="bundled")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ldmcli", "generate", *PROMPTS, "--seed", "1", "--json", "-m", args.model, "-o", f"{folder}/"]
        report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        pictures = [Image.open(image["path"]).copy() for image in report["images"]]
    print(save_sheet(contact_sheet(pictures, columns=6, labels=PROMPTS, scale=3, gap=6), args.output))


if __name__ == "__main__":
    main()
