"""`ldm generate --trace`: a session that records what happens in it comes in; trace.html and trace.jsonl go out.

Start with recording.py; report.py turns the recording into the page's data, program.py into a few lines of Python that draw it again.
"""
