"""`ldm generate`: a GenerateConfig, a model source and the requested prompts come in; pictures on disk and a record of each go out.

Start with run.py, which plans, opens the model and walks through the batches; batch_runner.py draws one, picture_writer.py writes it.
"""
