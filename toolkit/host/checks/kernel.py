"""How the kernel is set up."""

from __future__ import annotations

from toolkit.host.property import OK, Advice, Property
from toolkit.model.cpulist import format_cpulist, parse_cpumask


class _KernelProperty(Property):
    group = "kernel"


class Aslr(_KernelProperty):
    """Random addresses: each launch is a new layout, and launches are a sample of layouts."""

    id = "aslr"
    _PATH = "proc/sys/kernel/randomize_va_space"

    def available(self) -> bool:
        return self.around.text(self._PATH) is not None

    def show(self) -> str:
        return self.around.text(self._PATH) or ""

    def advise(self) -> Advice:
        if self.show() == "2":
            return OK
        return (
            "warn",
            (
                "every launch gets the same addresses, so that chance of one layout looks like a property of the SDK: "
                "sudo sysctl kernel.randomize_va_space=2; do not disable it to get steadier numbers"
            ),
        )


class Pressure(_KernelProperty):
    """Pressure stall information (PSI): what the ledger sees waiting by."""

    id = "pressure"

    def show(self) -> str:
        kinds = [
            kind for kind in ("cpu", "memory", "io", "irq") if self.around.text(f"proc/pressure/{kind}") is not None
        ]
        return ", ".join(kinds) or "none"

    def advise(self) -> Advice:
        if self.around.text("proc/pressure/cpu") is not None:
            return OK
        return "warn", "the kernel does not say how long tasks waited for a CPU: boot with psi=1"


class Mitigations(_KernelProperty):
    """What the kernel does against flaws of the processor; part of what makes two hosts comparable."""

    id = "mitigations"
    _FOLDER = "sys/devices/system/cpu/vulnerabilities"

    def _texts(self) -> dict[str, str]:
        names = sorted(path.name for path in (self.around.root / self._FOLDER).glob("*"))
        return {name: self.around.text(f"{self._FOLDER}/{name}") or "" for name in names}

    def available(self) -> bool:
        return bool(self._texts())

    def show(self) -> str:
        texts = self._texts()
        working = [name for name, text in texts.items() if "Mitigation" in text]
        bare = [name for name, text in texts.items() if text.startswith("Vulnerable")]
        told = f"{len(working)} of {len(texts)} at work"
        return told + (f"; vulnerable: {', '.join(bare)}" if bare else "")


class SeLinux(_KernelProperty):
    """SELinux: an engine that labels containers may refuse them the run folder."""

    id = "selinux"

    def available(self) -> bool:
        return self.around.text("sys/fs/selinux/enforce") is not None

    def _labels(self) -> bool:
        engine = self.around.engine
        return engine is not None and any("selinux" in option for option in engine.security_options)

    def show(self) -> str:
        mode = "enforcing" if self.around.text("sys/fs/selinux/enforce") == "1" else "permissive"
        return f"{mode}, containers {'labelled' if self._labels() else 'not labelled'}"

    def advise(self) -> Advice:
        if self.around.text("sys/fs/selinux/enforce") != "1" or not self._labels():
            return OK
        return (
            "warn",
            (
                "containers may be refused their journal: label the run folder for them, "
                "sudo chcon -Rt container_file_t runs, and choose it with --runs"
            ),
        )


class Workqueues(_KernelProperty):
    """Where the kernel's own unbound work may run (Documentation/core-api/workqueue.rst, ``cpumask``)."""

    id = "workqueues"
    _PATH = "sys/devices/virtual/workqueue/cpumask"

    def _allowed(self) -> tuple[int, ...]:
        """The CPUs of the mask that are here."""
        try:
            mask = parse_cpumask(self.around.text(self._PATH) or "")
        except ValueError:
            return ()
        return tuple(cpu for cpu in mask if cpu in self.around.topology.cpus)

    def _upon(self) -> tuple[int, ...]:
        return tuple(cpu for cpu in self.around.measured() if cpu in self._allowed())

    def available(self) -> bool:
        return bool(self._allowed())

    def show(self) -> str:
        measured = format_cpulist(self.around.measured())
        word = "may" if self._upon() else "does not"
        return f"unbound kernel work on CPUs {format_cpulist(self._allowed())}: it {word} come to CPU {measured}"

    def advise(self) -> Advice:
        everywhere = set(self._allowed()) == set(self.around.topology.cpus)
        # Left as it was booted, the work is spread over the machine; the ledger counts what comes here as foreign.
        if not self._upon() or everywhere:
            return OK
        return (
            "warn",
            (
                f"the kernel's work was gathered on few CPUs, and CPU {format_cpulist(self._upon())} is one of them: "
                f"measure on others, or write another mask to /{self._PATH}"
            ),
        )


class NmiWatchdog(_KernelProperty):
    """The detector of hard lockups (Documentation/admin-guide/lockup-watchdogs.rst)."""

    id = "nmi_watchdog"
    _PATH = "proc/sys/kernel/nmi_watchdog"

    def _watched(self) -> tuple[int, ...]:
        """Which of the CPUs in question it looks at; without a mask all."""
        measured = self.around.measured()
        if self.around.text("proc/sys/kernel/watchdog_cpumask") is None:
            return measured
        mask = self.around.cpu_list("proc/sys/kernel/watchdog_cpumask")
        return tuple(cpu for cpu in measured if cpu in mask)

    def available(self) -> bool:
        return self.around.number(self._PATH) is not None

    def show(self) -> str:
        if self.around.number(self._PATH) == 0:
            return "off"
        return f"on, CPU {format_cpulist(self._watched())}" if self._watched() else "on, not on the CPUs in question"

    def advise(self) -> Advice:
        if self.around.number(self._PATH) == 0 or not self._watched():
            return OK
        return (
            "ok",
            (
                "it interrupts these CPUs every few seconds, and takes one of their performance counters: "
                "while you measure, sudo sysctl kernel.nmi_watchdog=0"
            ),
        )


class Zswap(_KernelProperty):
    """Compressed swap in memory: it costs CPU time where the reclaiming task runs."""

    id = "zswap"
    _PATH = "sys/module/zswap/parameters/enabled"

    def available(self) -> bool:
        return self.around.text(self._PATH) is not None

    def show(self) -> str:
        return "on" if self.around.text(self._PATH) == "Y" else "off"

    def advise(self) -> Advice:
        swapping = len((self.around.text("proc/swaps") or "").splitlines()) > 1
        if self.show() == "off" or not swapping:
            return OK
        return "warn", f"reclaimed pages are compressed on somebody's CPU: echo N | sudo tee /{self._PATH}"
