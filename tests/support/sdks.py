"""Which SDKs a tier takes: one of each kind in ``make test``, all in ``make test-all`` (``REPRO_TEST_SDKS=all``)."""

from __future__ import annotations

import os

import pytest

from toolkit.catalogue import load_catalogue

# Read on import: the settings of whoever runs the tests are gone inside of them.
EVERYTHING = os.environ.get("REPRO_TEST_SDKS") == "all"
# The null SDK; clients over HTTP; an engine in process with a native library; vectors in memory; a client over gRPC.
ONE_OF_EACH_KIND = ("net-http", "go-openai", "ollama-api", "yzma", "chromem-go", "qdrant-go")
CATALOGUE = load_catalogue()
CHOSEN = tuple(CATALOGUE.sdks) if EVERYTHING else ONE_OF_EACH_KIND

# A real backend takes minutes of compiling, and no SDK of the short list needs one.
in_test_all = pytest.mark.skipif(not EVERYTHING, reason="compiled for minutes: `make test-all` takes every backend")
