"""A thousand processes that race for lanes, and a witness that knows nothing of locks.

    python -m tests.support.racers FOLDER COUNT SEED          # prints one JSON object
    python -m tests.support.racers FOLDER COUNT SEED blind    # leases that know nothing of siblings: must be caught

The witness is memory that all of them share: for each CPU the number of the process that measures there, and a byte for
each process whose agent or backend is there. Whoever gets a lane looks at it, writes itself in, works, looks again and
takes itself out. One that is killed cannot: what it left counts only while it lives. Forked, because a thousand
interpreters would take minutes.

Every third is killed, on any machine: one that had ended before its moment came would prove nothing. So half of them
stay where they hold a lane, before, in or after their work, until the signal comes; the others are killed at a moment
that the clock decides, waiting, working or, when they were quick, with the lane given back.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import struct
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.support.machines import uniform
from toolkit.engine.fake import FakeEngine
from toolkit.errors import LaneBusy
from toolkit.lease import Lane, lease_first
from toolkit.model.cpulist import parse_cpulist

MACHINE = uniform(4, smt=2).topology()  # CPU n and n + 4 are one core
CPUS = 8
AT_ONCE = 100
WAIT_SECONDS = 600.0  # a lane that is stuck stays so; that others are quicker, time and again, is no fault of a lane
LATEST_KILL_SECONDS = 0.5
_NUMBER_BITS = 22  # the highest number of a process there is (proc(5), pid_max)
_START = 18  # of the fields after the state: when the process began, in ticks since the boot
CHOICES: tuple[tuple[Lane, ...], ...] = (
    (Lane("0", idle="4", shared="7"),),
    (Lane("4", shared="3"),),  # the sibling of the one above, asked for by itself
    (Lane("1-2", idle="5-6", shared="0"),),
    (Lane("1", idle="5", shared="7"), Lane("2", idle="6", shared="7"), Lane("0", idle="4", shared="7")),  # --lanes 3
    (Lane("2,6", shared="3,7"),),
    (Lane("3", idle="7", shared="0"),),
)
_SLOT = struct.Struct("q")


@dataclass
class Witness:
    """Who is where, as they say themselves."""

    count: int
    memory: mmap.mmap = field(init=False)

    def __post_init__(self) -> None:
        self.memory = mmap.mmap(-1, CPUS * _SLOT.size + CPUS * self.count + 3 * self.count * _SLOT.size)

    def owner(self, cpu: int) -> int:
        return int(_SLOT.unpack_from(self.memory, cpu * _SLOT.size)[0])

    def own(self, cpu: int, mark: int) -> None:
        _SLOT.pack_into(self.memory, cpu * _SLOT.size, mark)

    def _row(self, cpu: int) -> int:
        return CPUS * _SLOT.size + cpu * self.count

    def stand(self, cpu: int, index: int, there: bool) -> None:
        """Agent or backend of a process: there, or gone."""
        self.memory[self._row(cpu) + index] = there

    def standing(self, cpu: int) -> list[int]:
        row = self.memory[self._row(cpu) : self._row(cpu) + self.count]
        return [index for index, there in enumerate(row) if there]

    def _cell(self, index: int, column: int) -> int:
        return CPUS * _SLOT.size + CPUS * self.count + (3 * index + column) * _SLOT.size

    def note(self, index: int, column: int, value: int) -> None:
        """Of each process: 0 its mark, 1 whether it is inside (1) or was (2), 2 what it must not have seen."""
        _SLOT.pack_into(self.memory, self._cell(index, column), value)

    def noted(self, index: int, column: int) -> int:
        return int(_SLOT.unpack_from(self.memory, self._cell(index, column))[0])


def mark_of(pid: int) -> int:
    """Number and start of a process in one number: a busy machine gives the number of a dead one to somebody else.

    0 for one that does not run: one that was killed is a zombie until its parent has looked.
    """
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
    except OSError:
        return 0
    return 0 if state in (b"Z", b"X") else int(rest[_START]) << _NUMBER_BITS | pid


def alive(mark: int) -> bool:
    """Whether that very process runs."""
    return mark != 0 and mark_of(mark & (1 << _NUMBER_BITS) - 1) == mark


def doomed(index: int) -> bool:
    """Whether this one is killed."""
    return index % 3 == 0


def doomed_inside(index: int) -> bool:
    """Whether this one is killed while it holds a lane."""
    return index % 6 == 0


def race(index: int, witness: Witness, seed: int, blind: bool) -> None:
    """One process: a lane, a look, some work, a look, away."""
    chance = random.Random(seed * 1_000_003 + index)
    last_step = chance.randrange(3) if doomed_inside(index) else None
    lanes = chance.choice(CHOICES)
    machine = MACHINE
    if blind:
        lanes, machine = tuple(replace(lane, idle="") for lane in lanes), uniform(CPUS).topology()
    with lease_first(lanes, FakeEngine(), wait_seconds=WAIT_SECONDS, topology=machine) as chosen:
        witness.note(index, 1, 1)
        stay(last_step == 0)
        lane, me = lanes[chosen], mark_of(os.getpid())
        cores = {cpu for one in parse_cpulist(lane.cpus) for cpu in MACHINE.core_of(one)}
        beside = set(parse_cpulist(lane.shared)) - cores
        wrong = sum(_intruders(cpu, witness) for cpu in cores)
        wrong += sum(alive(witness.owner(cpu)) for cpu in beside)
        for cpu in cores:
            witness.own(cpu, me)
        for cpu in beside:
            witness.stand(cpu, index, True)
        stay(last_step == 1)
        time.sleep(chance.random() * 0.004)
        wrong += sum(witness.owner(cpu) != me for cpu in cores)
        for cpu in cores:
            witness.own(cpu, 0)
        for cpu in beside:
            witness.stand(cpu, index, False)
        witness.note(index, 2, wrong)
        stay(last_step == 2)
        witness.note(index, 1, 2)


def stay(here: bool) -> None:
    """Until the signal that kills."""
    while here:
        signal.pause()


def _intruders(cpu: int, witness: Witness) -> int:
    others = [witness.noted(one, 0) for one in witness.standing(cpu)]
    return alive(witness.owner(cpu)) + sum(alive(other) for other in others)


def start(index: int, witness: Witness, seed: int, blind: bool) -> int:
    """Fork one; it never returns here."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        witness.note(index, 0, mark_of(os.getpid()))
        race(index, witness, seed, blind)
        stay(doomed(index))
        code = 0
    except LaneBusy:
        code = LaneBusy.exit_code
    finally:
        os._exit(code)


def reap(living: dict[int, int], codes: dict[int, int]) -> None:
    """Look at everyone who has ended, without waiting."""
    while living:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            break
        codes[living.pop(pid)] = os.waitstatus_to_exitcode(status)


def kill_the_due(living: dict[int, int], witness: Witness, due: dict[int, float], chance: random.Random) -> None:
    """One that holds a lane and is to die there: soon. One whose moment has come: now."""
    for pid, index in living.items():
        if doomed_inside(index):
            ripe = witness.noted(index, 1) == 1 and chance.random() < 0.5
        else:
            ripe = doomed(index) and time.monotonic() >= due[index]
        if ripe:
            os.kill(pid, signal.SIGKILL)  # once more, if it has not been reaped yet: harmless


def run(count: int, seed: int, *, blind: bool = False) -> dict[str, object]:
    """All of them, at most so many at once, a third of them killed at some moment; then every lane must be free."""
    chance = random.Random(seed)
    witness = Witness(count)
    living: dict[int, int] = {}
    codes: dict[int, int] = {}
    due: dict[int, float] = {}
    waiting = list(range(count))
    began = time.monotonic()
    while waiting or living:
        reap(living, codes)
        while waiting and len(living) < AT_ONCE:
            index = waiting.pop()
            due[index] = time.monotonic() + chance.random() * LATEST_KILL_SECONDS
            living[start(index, witness, seed, blind)] = index
        kill_the_due(living, witness, due, chance)
        time.sleep(chance.random() * 0.02)
    ended = time.monotonic()
    with lease_first([Lane("0-7")], FakeEngine(), wait_seconds=60, topology=MACHINE):
        pass  # raises LaneBusy if any lane is stuck
    return {
        "processes": count,
        "doomed": sum(doomed(index) for index in range(count)),
        "killed": sum(code == -signal.SIGKILL for code in codes.values()),
        "killed_inside": sum(witness.noted(index, 1) == 1 for index in range(count)),
        "got": sum(witness.noted(index, 1) > 0 for index in range(count)),
        "busy": sum(code == LaneBusy.exit_code for code in codes.values()),
        "failed": sum(code not in (0, -signal.SIGKILL, LaneBusy.exit_code) for code in codes.values()),
        "two_owners": sum(witness.noted(index, 2) for index in range(count)),
        "seconds": ended - began,
    }


if __name__ == "__main__":
    os.environ["REPRO_LANES"] = sys.argv[1]
    print(json.dumps(run(int(sys.argv[2]), int(sys.argv[3]), blind=sys.argv[4:] == ["blind"])))
