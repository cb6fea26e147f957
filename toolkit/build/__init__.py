"""The sealed build: layers written by us, compiled without network, assembled and loaded."""
