"""The container engine behind a port: ``port`` says what we need of one, ``docker`` is the only importer of the Docker SDK."""
