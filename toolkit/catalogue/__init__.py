"""The catalogue: what can be launched, read from ``images/`` and from a user's own folder of the same shape."""

from toolkit.catalogue.gomod import check_go_module, locked_go
from toolkit.catalogue.load import Catalogue, load_catalogue

__all__ = ["Catalogue", "check_go_module", "load_catalogue", "locked_go"]
