"""What a run shows while it runs: one live state, and the channels that carry it out (``docs/telemetry.md``).

Nothing here is evidence, and nothing here decides anything: the journal does both.
"""
