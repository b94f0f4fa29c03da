"""A program that only writes down how it was started: its arguments and its environment, by rank, in the folder $NOTED."""

import json
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    Path(os.environ["NOTED"], os.environ["RANK"]).write_text(json.dumps([sys.argv[1:], dict(os.environ)]))
