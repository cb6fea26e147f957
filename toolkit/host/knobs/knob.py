"""What a knob of the host is: a property that can be changed, and put back exactly as it was.

A knob says which single values it would change (``changes``) and how one is read and written. It remembers nothing: the
former value stands in the ``Change``, which the journal holds before anything is written. No value is ever presumed
(psf/pyperf issue 158: a machine stayed slow because its "defaults" were written back).
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from toolkit.host.property import Property, Surroundings
from toolkit.model.cpulist import parse_cpulist


@dataclass(frozen=True)
class Change:
    """One value of one knob: where it is, what it was, what it shall be.

    Where ``former`` is ``wanted`` the value is only held: something that is changed beside it moves it, too.
    ``target`` is a path below ``/`` (or a swap device); ``identity`` is what else must be the same for ``target`` to
    mean the same thing, such as the device of an interrupt; ``boot_id`` is the boot in which it was changed.
    """

    knob: str
    target: str
    former: str
    wanted: str
    identity: str = ""
    boot_id: str = ""

    @property
    def held(self) -> bool:
        """Whether it shall stay as it is while something beside it is changed."""
        return self.former == self.wanted

    def to_json(self) -> dict[str, str]:
        """Plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Change:
        """Raises KeyError or TypeError on anything else."""
        fields = {name: value[name] for name in cls.__dataclass_fields__}
        if not all(isinstance(one, str) for one in fields.values()):
            raise TypeError("every field of a change is a text")
        return cls(**fields)


class Knob(Property):
    """A property with ``changes``; ``needs_cpus``: it can only be turned for CPUs that were named."""

    does: ClassVar[str]
    needs_cpus: ClassVar[bool] = False

    def hindrance(self) -> str:
        """Why it cannot be turned here now; '' when it can."""
        return ""

    def changes(self) -> list[Change]:
        """What would be changed, in order; empty when all is as it should be."""
        raise NotImplementedError

    def read(self, change: Change) -> str | None:
        """The present value; None when there is no such thing any more."""
        return self.around.text(change.target)

    def write(self, change: Change, value: str) -> None:
        """Set it. Raises OSError when the kernel refuses."""
        write_value(self.around, change.target, value)

    def same(self, one: str, other: str) -> bool:
        """Whether two values mean the same."""
        return one == other

    def identity(self, target: str) -> str:  # noqa: ARG002 - of those that have one
        """What a target stands for now; compared with the change's before anything is put back."""
        return ""


class FileKnob(Knob):
    """Files that hold one value each, or a choice such as ``always [madvise] never``."""

    files: ClassVar[tuple[tuple[str, str], ...]]

    def available(self) -> bool:
        return any(self._value(path) is not None for path, _wanted in self.files)

    def show(self) -> str:
        values = [f"{path.rsplit('/', 1)[-1]} {self._value(path)}" for path, _ in self.files if self._value(path)]
        return ", ".join(values)

    def changes(self) -> list[Change]:
        found = []
        for path, wanted in self.files:
            former = self._value(path)
            if former is not None and former != wanted:
                found.append(Change(self.id, path, former, wanted))
        return found

    def read(self, change: Change) -> str | None:
        return self._value(change.target)

    def _value(self, path: str) -> str | None:
        return chosen(self.around.text(path))


def chosen(text: str | None) -> str | None:
    """The bracketed word of a choice such as ``always [madvise] never``; any other text as it is."""
    if text is None or "[" not in text:
        return text
    return text[text.index("[") + 1 : text.index("]")]


def write_value(around: Surroundings, path: str, value: str) -> None:
    """One write(2) to a file that exists: kernel files take a value whole or refuse it. Raises OSError."""
    descriptor = os.open(around.root / path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(descriptor, f"{value}\n".encode())
    finally:
        os.close(descriptor)


def same_cpus(one: str, other: str) -> bool:
    """Whether two kernel lists name the same CPUs, however they are written."""
    try:
        return parse_cpulist(one) == parse_cpulist(other)
    except ValueError:
        return one == other
