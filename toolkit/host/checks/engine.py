"""What the container engine can hold."""

from __future__ import annotations

from toolkit.engine.faults import check_controllers
from toolkit.engine.port import EngineFacts
from toolkit.errors import EngineError
from toolkit.host.property import OK, Advice, Property


class _EngineProperty(Property):
    """A property that only an engine that answers can tell."""

    group = "engine"
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
    group = "engine"
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
        driver = f", driver {self.engine.cgroup_driver}" if self.engine.cgroup_driver else ""
        return f"version {self.engine.cgroup_version.removeprefix('v')}{driver}"

    def advise(self) -> Advice:
        try:
            check_controllers(self.engine)
        except EngineError as problem:
            return "fail", f"{problem.cause}: {problem.remedy}"
        return OK


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


class Desktop(_EngineProperty):
    """Docker Desktop: the engine and its containers are in a virtual machine of its own."""

    id = "desktop"

    def available(self) -> bool:
        return super().available() and "Docker Desktop" in self.engine.operating_system

    def show(self) -> str:
        return f"{self.engine.operating_system}, {self.engine.cpus} CPUs"

    def advise(self) -> Advice:
        return (
            "warn",
            (
                "CPU numbers are its virtual machine's, whose CPUs this host schedules: grade B at most; install the "
                "engine on the host itself (docker.io), and choose it: docker context use default"
            ),
        )


class TimeNamespace(_EngineProperty):
    """Engines from 29.5 on give each container a time namespace of its own."""

    id = "time_namespace"
    _FIRST = (29, 5)

    def available(self) -> bool:
        numbers = self.engine.version.split(".") if super().available() else []
        known = [int(number) for number in numbers[:2] if number.isdecimal()]
        return len(known) == 2 and tuple(known) >= self._FIRST

    def show(self) -> str:
        return "each container has its own, at offset 0"

    def advise(self) -> Advice:
        return "ok", "reading a clock may cost more there: compare with runs of engines that do the same"
