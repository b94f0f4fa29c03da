"""Draw the README's first picture: single things and composed ones by the bundled model, with the command itself.

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
a penguin
a butterfly
an octopus
a unicorn
a slice of pizza
a strawberry
a cupcake
a red car
a rocket
a sailboat
a rainbow
a snowman
a guitar
a robot
a ghost in flat style
a ghost in cartoon style
a crown in 3d style
a cat on a blue background
a banana, purple background
an owl on a red and white background
a fox on a yellow background in 3d style
a small dog in the top left corner
a tiny apple at the bottom right
a cat to the left of a car
a tree to the right of a house
a bird above a cat
a frog below a mushroom
two ducks
three apples
a blue heart
a purple dragon
a green balloon on a pink background
a puppy
a kitten
it is raining""".splitlines()
"""Things, things composed, and words that people use."""


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
