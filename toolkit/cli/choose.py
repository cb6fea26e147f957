"""From names on the command line to catalogue entries: SDK, workload, backend."""

from __future__ import annotations

from toolkit.catalogue import Catalogue
from toolkit.errors import UsageError
from toolkit.plan import Choice


def choose(catalogue: Catalogue, sdks: list[str], workload: str | None, backend: str | None = None) -> list[Choice]:
    """One choice per SDK; the first workload and backend of its entry where none was named.

    Raises UsageError for an unknown name (with the nearest ones) or a combination the entry does not list.
    """
    return [_choose(catalogue, sdk, workload, backend) for sdk in sdks]


def _choose(catalogue: Catalogue, name: str, workload: str | None, backend: str | None) -> Choice:
    sdk = catalogue.sdk(name)
    chosen = catalogue.workload(workload or sdk.workloads[0][0])
    backends = sdk.backends(chosen.id)
    if not backends:
        raise UsageError(
            f"{sdk.id} cannot do workload '{chosen.id}'",
            f"its entry lists {', '.join(one for one, _backends in sdk.workloads)}",
            "'repro list sdks' shows what each SDK can do",
        )
    wanted = backend or backends[0]
    if wanted not in backends:
        raise UsageError(
            f"{sdk.id} has no backend '{wanted}' for workload '{chosen.id}'",
            f"its entry lists {', '.join(backends)}",
            "choose one of these",
        )
    return Choice(sdk, chosen, catalogue.backend(wanted))
