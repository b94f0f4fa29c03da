"""Other tools that draw the same pictures: peer.py says what one of them offers, turns.py draws with it and ours in turn."""
