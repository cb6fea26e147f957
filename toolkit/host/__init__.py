"""The machine: what it has (``topology``), what it proves (``facts``), and one class per property for ``doctor``."""
