"""`ldm train-vae` and `ldm train-unet`: a TrainConfig and captioned pictures come in; checkpoints, a log and RUN/model go out.

Start with unet.py (or vae.py), which prepares a run; unet_run.py holds its loss, validation and samples; training_loop.py drives both.
"""
