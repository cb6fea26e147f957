"""Containers of dead owners: a killed tool leaves them, the next ``launch``, ``rerun`` or ``clean`` removes them.

Only labelled containers are ever touched, and only when the process that made them provably lives no more.
"""

from __future__ import annotations

from toolkit.engine.port import LABEL_RUN, Engine, OwnedContainer
from toolkit.owner import owner_from_labels, provably_dead


def orphans(engine: Engine) -> list[OwnedContainer]:
    """Labelled containers whose owner is dead (the SDK's before its backend's)."""
    found = []
    for container in engine.owned(LABEL_RUN):
        owner = owner_from_labels(container.labels)
        if owner is not None and provably_dead(owner):
            found.append(container)
    return sorted(found, key=lambda one: one.labels.get("org.sealbench.role", ""), reverse=True)


def remove_orphans(engine: Engine) -> int:
    """End and remove them; how many there were."""
    found = orphans(engine)
    for container in found:
        engine.remove(container.id)
    return len(found)


def remove_socket_folders() -> int:
    """Temporary socket folders of collectors that were killed; how many there were."""
    from toolkit.collect.socket_folder import sweep_abandoned

    return len(sweep_abandoned())
