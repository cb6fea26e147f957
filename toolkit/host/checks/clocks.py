"""Frequency, heat, power and time: how fast the CPUs go, and which clock is read. None of it is changed by us."""

from __future__ import annotations

from toolkit.host.property import OK, Advice, Property
from toolkit.model.cpulist import format_cpulist

_CPU = "sys/devices/system/cpu"
_PRECISE = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter")
"""Clock sources that are read without entering the kernel."""


class _PerCpu(Property):
    """A property of each of the CPUs in question."""

    group = "clocks"
    file: str

    def _values(self) -> dict[str, tuple[int, ...]]:
        """Each value found, and the CPUs that have it."""
        found: dict[str, tuple[int, ...]] = {}
        for cpu in self.around.measured():
            value = self.around.text(f"{_CPU}/cpu{cpu}/{self.file}")
            if value is not None:
                found[value] = (*found.get(value, ()), cpu)
        return found

    def available(self) -> bool:
        return bool(self._values())

    def show(self) -> str:
        values = self._values()
        if len(values) == 1:
            return next(iter(values))
        return ", ".join(f"{value} on CPU {format_cpulist(cpus)}" for value, cpus in sorted(values.items()))


class Governor(_PerCpu):
    """The frequency governor."""

    id = "governor"
    file = "cpufreq/scaling_governor"

    def advise(self) -> Advice:
        if set(self._values()) == {"performance"}:
            return OK
        return "warn", "the clock follows the load: while you measure, sudo cpupower frequency-set -g performance"


class EnergyPreference(_PerCpu):
    """What the processor itself prefers (energy_performance_preference), where it chooses its frequency."""

    id = "energy_preference"
    file = "cpufreq/energy_performance_preference"

    def advise(self) -> Advice:
        if set(self._values()) == {"performance"}:
            return OK
        return (
            "warn",
            "the processor saves energy by slowing down: while you measure, sudo cpupower set --epp performance",
        )


class IdleStates(Property):
    """How deep the CPUs in question sleep: leaving a state takes time, and every request that comes then waits for it.

    Documentation/admin-guide/pm/cpuidle.rst: ``latency`` is the exit latency in microseconds, ``disable`` 1 one that is
    switched off.
    """

    id = "idle"
    group = "clocks"
    _DEEP_MICROSECONDS = 50
    """A twentieth of what the dispatch gate allows; C1 and C1E of common processors take 2 to 10, C6 85 to 200."""

    def _states(self) -> list[tuple[int, str]]:
        """Exit latency in microseconds and name of each state that some CPU in question may enter."""
        found: set[tuple[int, str]] = set()
        for cpu in self.around.measured():
            for folder in (self.around.root / f"{_CPU}/cpu{cpu}/cpuidle").glob("state*"):
                path = str(folder.relative_to(self.around.root))
                latency = self.around.number(f"{path}/latency")
                if latency is not None and self.around.text(f"{path}/disable") != "1":
                    found.add((latency, self.around.text(f"{path}/name") or folder.name))
        return sorted(found)

    def available(self) -> bool:
        return bool(self._states())

    def show(self) -> str:
        latency, name = self._states()[-1]
        driver = self.around.text(f"{_CPU}/cpuidle/current_driver")
        return f"deepest {name}, {latency} us to wake up" + (f" ({driver})" if driver else "")

    def advise(self) -> Advice:
        latency, name = self._states()[-1]
        if latency <= self._DEEP_MICROSECONDS:
            return OK
        return (
            "warn",
            (
                f"a request that finds the CPU asleep in {name} waits up to {latency} us for it: while you measure, "
                f"sudo cpupower idle-set -D {self._DEEP_MICROSECONDS} (afterwards: sudo cpupower idle-set -E)"
            ),
        )


class Turbo(Property):
    """Clocks above the nominal one, as long as heat and power allow it."""

    id = "turbo"
    group = "clocks"
    _FILES = ((f"{_CPU}/intel_pstate/no_turbo", "0"), (f"{_CPU}/cpufreq/boost", "1"))

    def _switch(self) -> tuple[str, bool] | None:
        for path, on in self._FILES:
            value = self.around.text(path)
            if value is not None:
                return path, value == on
        return None

    def available(self) -> bool:
        return self._switch() is not None

    def show(self) -> str:
        switch = self._switch()
        return "on" if switch is not None and switch[1] else "off"

    def advise(self) -> Advice:
        switch = self._switch()
        if switch is None or not switch[1]:
            return OK
        off = "1" if switch[0].endswith("no_turbo") else "0"
        return (
            "warn",
            f"the clock falls as the machine gets warm: for comparisons, echo {off} | sudo tee /{switch[0]}",
        )


class Throttled(_PerCpu):
    """How often the processor slowed down to save itself."""

    id = "throttled"
    file = "thermal_throttle/core_throttle_count"

    def _times(self) -> int:
        return sum(int(value) * len(cpus) for value, cpus in self._values().items() if value.isdecimal())

    def show(self) -> str:
        return f"{self._times()} times since boot"

    def advise(self) -> Advice:
        if not self._times():
            return OK
        return "warn", "the CPUs have been too hot since boot: let the machine cool down, and look at its fans and air"


class Battery(Property):
    """Where the power comes from."""

    id = "power"
    group = "clocks"

    def _supplies(self) -> dict[str, str]:
        """Kind of each supply and its state: Mains has ``online``, Battery has ``status``."""
        found = {}
        for folder in sorted((self.around.root / "sys/class/power_supply").glob("*")):
            path = str(folder.relative_to(self.around.root))
            kind = self.around.text(f"{path}/type") or ""
            # The battery of a mouse is no supply of this machine.
            if kind == "Battery" and self.around.text(f"{path}/scope") != "Device":
                found[folder.name] = self.around.text(f"{path}/status") or "unknown"
        return found

    def available(self) -> bool:
        return bool(self._supplies())

    def show(self) -> str:
        return ", ".join(f"{name} {status.lower()}" for name, status in self._supplies().items())

    def advise(self) -> Advice:
        if "Discharging" not in self._supplies().values():
            return OK
        return "warn", "on battery the machine saves energy whenever it likes: plug it in"


class ClockSource(Property):
    """What the kernel reads the time from."""

    id = "clocksource"
    group = "clocks"
    _FOLDER = "sys/devices/system/clocksource/clocksource0"

    def available(self) -> bool:
        return self.around.text(f"{self._FOLDER}/current_clocksource") is not None

    def show(self) -> str:
        return self.around.text(f"{self._FOLDER}/current_clocksource") or ""

    def advise(self) -> Advice:
        if self.show() in _PRECISE:
            return OK
        return (
            "warn",
            (
                "each reading of this clock enters the kernel and costs up to microseconds: the kernel's log says why "
                "tsc was given up (sudo dmesg | grep -i tsc)"
            ),
        )


class ClockKept(Property):
    """Whether the wall clock is kept by somebody. Intervals are of CLOCK_MONOTONIC, so they do not depend on it."""

    id = "clock_kept"
    group = "clocks"

    def available(self) -> bool:
        return self.around.clock_synchronised is not None

    def show(self) -> str:
        return "synchronised" if self.around.clock_synchronised else "not synchronised"

    def advise(self) -> Advice:
        if self.around.clock_synchronised:
            return OK
        return "ok", "the dates of runs may be wrong, their intervals are not: sudo timedatectl set-ntp true"
