"""What others do on the CPUs in question at this moment; and what a hypervisor took so far."""

from __future__ import annotations

from toolkit.host.load import Load
from toolkit.host.property import OK, Advice, Property
from toolkit.model.cpulist import format_cpulist

_BUSY_SHARE = 0.10  # a look of 200 ms counts in clock ticks: one tick is 5 %
_STEAL_SHARE = 0.005


class _NowProperty(Property):
    group = "now"

    def available(self) -> bool:
        return self.around.load is not None and bool(self.around.measured())

    @property
    def load(self) -> Load:
        if self.around.load is None:
            raise RuntimeError("available() says that nobody looked")
        return self.around.load

    def _named(self) -> str:
        return "CPU " + format_cpulist(self.around.measured())


class ForeignLoad(_NowProperty):
    """Who is busy there although nothing of ours runs."""

    id = "load"

    def _share(self) -> float | None:
        return self.load.busy_share(self.around.measured())

    def available(self) -> bool:
        return super().available() and self._share() is not None

    def show(self) -> str:
        return f"{self._named()} {self._share() or 0:.0%} busy for {self.load.seconds:.1f} s"

    def advise(self) -> Advice:
        if (self._share() or 0) < _BUSY_SHARE:
            return OK
        return "warn", f"others work on {self._named()} now: end them, wait, or choose other CPUs (top -1 shows who)"


class Steal(_NowProperty):
    """CPU time that the hypervisor gave to somebody else."""

    id = "steal"

    def _shares(self) -> tuple[float | None, float | None]:
        cpus = self.around.measured()
        return self.load.steal_share(cpus), self.load.last.steal_share(cpus)

    def available(self) -> bool:
        return super().available() and self._shares()[1] is not None

    def show(self) -> str:
        now, ever = self._shares()
        return f"{now or 0:.1%} now, {ever or 0:.2%} since boot"

    def advise(self) -> Advice:
        now, ever = self._shares()
        if max(now or 0, ever or 0) <= _STEAL_SHARE:
            return OK
        return (
            "warn",
            "the hypervisor takes CPU time away: windows in which it does are tainted; choose a quieter machine",
        )


class InterruptRate(_NowProperty):
    """Interrupts of devices on the CPUs in question, and a daemon that moves them about."""

    id = "interrupts"
    _MANY_HZ = 100.0

    def _rate_hz(self) -> float | None:
        return self.load.interrupts_hz(self.around.measured())

    def available(self) -> bool:
        return super().available() and self._rate_hz() is not None

    def _balanced(self) -> bool:
        return self.around.runs_program("irqbalance")

    def show(self) -> str:
        told = f"{self._rate_hz() or 0:.0f}/s on {self._named()}"
        return told + (", irqbalance runs" if self._balanced() else "")

    def advise(self) -> Advice:
        if self._balanced():
            return "warn", "irqbalance moves interrupts about while you measure: sudo systemctl stop irqbalance"
        if (self._rate_hz() or 0) < self._MANY_HZ:
            return OK
        cpus = format_cpulist(self.around.measured())
        return "warn", f"devices interrupt the measured CPUs: sudo repro host tune --only irq --cpus {cpus}"
