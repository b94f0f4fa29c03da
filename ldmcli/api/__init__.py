"""The face for Python: a thin one over engine/session, which the commands use too. `ldmcli.__all__` says what of it is public.

Start with pipeline.py; load.py opens one, arguments.py reads what is passed by the options that config/ declares.
"""
