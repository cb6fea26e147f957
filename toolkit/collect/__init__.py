"""From containers to evidence: the live stream, the journal on disk, and the lines of the harness."""
