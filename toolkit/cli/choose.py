"""From names on the command line to catalogue entries: SDK, workload, backend."""

from __future__ import annotations

from collections.abc import Sequence

from toolkit.catalogue import Catalogue
from toolkit.errors import UsageError
from toolkit.model.catalogue import SdkEntry
from toolkit.plan import Choice


def choose(
    catalogue: Catalogue,
    sdks: Sequence[str],
    workload: str | None,
    backend: str | None = None,
    *,
    baseline: bool = False,
    own_model: bool = False,
) -> list[Choice]:
    """One choice per SDK; the first workload and backend of its entry where none was named.

    ``baseline`` adds the null SDK for each workload and backend chosen that it can do. ``own_model``: the backend must
    be one that takes a model file. Raises UsageError for an unknown name (with the nearest ones) or a combination the
    entry does not list.
    """
    able = [sdk for sdk in sdks if not cannot(catalogue, sdk, workload)]
    # Nobody can: say so of the first. Beside one that can, an SDK that cannot is "not applicable", which is no error.
    chosen = [_choose(catalogue, sdk, workload, backend, own_model=own_model) for sdk in able or sdks]
    return chosen + (_baselines(catalogue, chosen) if baseline else [])


def cannot(catalogue: Catalogue, name: str, workload: str | None) -> str:
    """Why an SDK cannot do a workload; empty when it can. Raises UsageError for unknown names."""
    sdk = catalogue.sdk(name)
    if workload is None or sdk.backends(catalogue.workload(workload).id):
        return ""
    return f"{sdk.id} cannot do workload '{workload}'"


def _choose(catalogue: Catalogue, name: str, workload: str | None, backend: str | None, *, own_model: bool) -> Choice:
    sdk = catalogue.sdk(name)
    chosen = catalogue.workload(workload or sdk.workloads[0][0])
    backends = sdk.backends(chosen.id)
    if not backends:
        raise UsageError(
            cannot(catalogue, name, chosen.id),
            f"its entry lists {', '.join(one for one, _backends in sdk.workloads)}",
            "'repro list sdks' shows what each SDK can do",
        )
    if own_model:
        backends = _model_takers(catalogue, sdk, chosen.kind, backends)
    wanted = backends[0] if backend is None else backend
    if wanted not in backends:
        raise UsageError(
            f"{sdk.id} has no backend '{wanted}' for workload '{chosen.id}'"
            + (" that takes a model file" if own_model else ""),
            f"its entry lists {', '.join(backends)}",
            "choose one of these",
        )
    return Choice(sdk, chosen, catalogue.backend(wanted), asked_as=name.strip().lower())


def _model_takers(catalogue: Catalogue, sdk: SdkEntry, kind: str, backends: tuple[str, ...]) -> tuple[str, ...]:
    """The backends, or the SDK's own engine, that load a GGUF file for this kind of workload."""
    takers = []
    for name in backends:
        entry = catalogue.backend(name)
        files = (sdk.models if entry.in_process else entry.models).get(kind, ())
        if files and files[0].endswith(".gguf"):
            takers.append(name)
    if not takers:
        raise UsageError(
            f"--model cannot be used with {sdk.id}",
            "none of its backends for this workload loads a GGUF file",
            "leave --model out, or take an SDK with the backend llama-server or ollama",
        )
    return tuple(takers)


def _baselines(catalogue: Catalogue, chosen: list[Choice]) -> list[Choice]:
    """The null SDK once for each workload and backend that it can do; nothing where it was asked for by name."""
    null = catalogue.null_sdk()
    places = {(one.workload.id, one.backend.id): one for one in chosen if one.sdk.id != null.id}
    taken = {(one.workload.id, one.backend.id) for one in chosen if one.sdk.id == null.id}
    found = [
        Choice(null, one.workload, one.backend, asked_as=null.id, baseline=True)
        for place, one in places.items()
        if place not in taken and one.backend.id in null.backends(one.workload.id)
    ]
    if not found and not taken:
        raise UsageError(
            "--baseline has nothing to stand beside",
            f"the null SDK ({null.id}) has none of: "
            + ", ".join(f"{workload} against {backend}" for workload, backend in places),
            "leave --baseline out, or choose a workload and backend that 'repro list sdks' shows for it",
        )
    return found
