"""The parts of evaluate.py: what the bundled model is measured by, one file each."""
