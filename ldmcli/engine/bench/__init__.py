"""`ldm bench`: a BenchConfig comes in; a row of times, memory, operations and deviations for every configuration goes out.

Start with run.py, then cells.py; timing.py times one configuration, costs.py counts what it costs on any machine.
"""
