"""The container engine behind a port: ``docker`` is the only importer of the Docker SDK, ``fake`` lives in memory."""
