"""What the container engine can hold."""

from __future__ import annotations

from toolkit.engine.port import EngineFacts
from toolkit.errors import EngineError
from toolkit.host.checks.property import OK, Advice, Property


class _EngineProperty(Property):
    """A property that only an engine that answers can tell."""

    exit_code = EngineError.exit_code

    def available(self) -> bool:
        return self.around.engine is not None

    @property
    def engine(self) -> EngineFacts:
        if self.around.engine is None:
            raise RuntimeError("available() says that no engine answered")
        return self.around.engine


class EngineAnswers(Property):
    """A local engine that speaks our API."""

    id = "engine"
    exit_code = EngineError.exit_code

    def show(self) -> str:
        engine, error = self.around.engine, self.around.engine_error
        if engine is None:
            return error.cause or error.title if error is not None else "none asked"
        runtime = engine.runtime_version or "of unknown version"
        return f"{engine.version}, API {engine.api_version}, runc {runtime}, {engine.storage_driver}"

    def advise(self) -> Advice:
        error = self.around.engine_error
        if error is not None:
            return "fail", f"{error.title}: {error.remedy}" if error.remedy else error.title
        if self.around.engine is not None and self.around.engine.rootless:
            return "warn", "a rootless engine may not be able to set every limit; the read-back will say which"
        return OK


class Cgroup(_EngineProperty):
    """Which interface limits go through."""

    id = "cgroup"

    def show(self) -> str:
        return f"version {self.engine.cgroup_version.removeprefix('v')}"


class SwapAccounting(_EngineProperty):
    """Without it, memory = memory + swap cannot be enforced."""

    id = "swap_accounting"

    def show(self) -> str:
        return "on" if self.engine.swap_limit else "off"

    def advise(self) -> Advice:
        if self.engine.swap_limit:
            return OK
        return (
            "warn",
            "swap of a container cannot be limited: boot with swapaccount=1, or turn swap off (sudo swapoff -a)",
        )


class Seccomp(_EngineProperty):
    """Our profile is derived from the engine's default; an engine without seccomp drops it silently."""

    id = "seccomp"

    def show(self) -> str:
        return "on" if self._on else "off"

    @property
    def _on(self) -> bool:
        return any("seccomp" in option for option in self.engine.security_options)

    def advise(self) -> Advice:
        return (
            OK if self._on else ("fail", "this engine was built without seccomp: use your distribution's own package")
        )


class AppArmor(_EngineProperty):
    """Where the kernel has it on, the engine loads a profile of its own, and starts nothing without the parser."""

    id = "apparmor"

    def available(self) -> bool:
        return super().available() and any("apparmor" in option for option in self.engine.security_options)

    def show(self) -> str:
        return "on"

    def advise(self) -> Advice:
        # Not by PATH: not every user's has the system folders that the engine's has.
        if any((self.around.root / folder / "apparmor_parser").exists() for folder in ("sbin", "usr/sbin")):
            return OK
        return "fail", "the engine lacks its parser, no container would start: sudo apt-get install -y apparmor"
