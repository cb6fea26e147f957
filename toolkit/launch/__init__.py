"""One launch: containers created, read back, watched, ended and removed; what happened is on disk whatever happens to us."""
