"""What generate, compare and bench share: settings resolved and a batch drawn. A session and a config come in, pictures in memory go out.

Start with settings.py; batch.py draws, metadata.py says what a picture records, preview.py looks on while it is drawn.
"""
