"""`ldm clipscore`: pictures with captions come in; cosines, their mean and how sure it is go out.

Start with run.py; fid.py measures how far two sets of pictures lie apart.
"""
