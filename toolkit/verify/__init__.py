"""Is this archive what its author signed, and is it safe to open? Answered without executing anything in it.

Stages 0 to 7, each with a verdict of its own, nothing after one that failed. Nothing here imports Docker, gRPC or a
module that only Linux has: a reviewer verifies on whatever runs Python.
"""
