"""One launch: containers created, read back, watched, ended, removed; what happened is on disk whatever befalls us."""
