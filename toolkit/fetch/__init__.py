"""Inputs brought to the content store by the package clients the host's user already has."""
