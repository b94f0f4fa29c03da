"""`ldm compare-schedulers`: a CompareConfig and prompts come in; a row of figures for every scheduler and step count goes out.

Start with run.py; walk.py draws the same noise by one solver after another, statistics.py turns values into intervals and verdicts.
"""
