"""Arithmetic on evidence: windows, metrics, gates, results. Nothing reads the world; same input, same output."""
