"""The agent as Python would have it: psutil and grpcio, the same ``agent.proto``, the same samples. Only a peer.

It does what the agent of ``images/agent`` does while a program runs: Hello, one Sample per tick, the program's lines,
the journal once a second, one send per window (once a second before the first). It leaves out, in its own favour, the
read-backs of constraints, the readiness probe and the journal's own checksum (zlib's CRC stands in for CRC-32C).
"""

from __future__ import annotations

import json
import os
import queue
import signal
import struct
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil

from toolkit.proto.agent_pb2 import Chunk, Directive, Hello, Lines, Record, Sample, WindowEnd
from toolkit.proto.agent_pb2_grpc import CollectorStub

NS = 1_000_000_000
FRAME = struct.Struct("<II")
GROUP = Path("/sys/fs/cgroup")
V2 = (GROUP / "cgroup.controllers").exists()
# What only our own interpreter needs must not reach the program.
OWN_VARIABLES = ("REPRO_AGENT", "HOSTNAME", "PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE")


class Group:
    """The control group's counters, by files that stay open."""

    def __init__(self) -> None:
        names = (
            ("memory.current", "memory.swap.current", "cpu.stat", "cpu.stat", "pids.current")
            if V2
            else (
                "memory/memory.usage_in_bytes",
                "memory/memory.memsw.usage_in_bytes",
                "cpuacct/cpuacct.usage",
                "cpu/cpu.stat",
                "pids/pids.current",
            )
        )
        self._files = [os.open(GROUP / name, os.O_RDONLY) if (GROUP / name).exists() else -1 for name in names]
        self._baseline = 0
        self._baseline = self.read(Sample()).cgroup_cpu_ns

    def read(self, sample: Sample) -> Sample:
        """Fill the group's part of a sample."""
        memory, swap, cpu, stat, pids = (os.pread(file, 4096, 0) if file >= 0 else b"0" for file in self._files)
        sample.cgroup_memory_bytes = int(memory)
        sample.cgroup_swap_bytes = int(swap) if V2 else max(0, int(swap) - int(memory))
        rows = dict(line.split() for line in stat.decode().splitlines())
        sample.cgroup_throttled_periods = int(rows.get("nr_throttled", 0))
        sample.cgroup_throttled_ns = int(rows.get("throttled_usec", 0)) * 1000 if V2 else int(rows["throttled_time"])
        used = int(rows["usage_usec"]) * 1000 if V2 else int(cpu)
        sample.cgroup_cpu_ns = used - self._baseline
        sample.cgroup_pids = int(pids)
        return sample


class Agent:
    """One program, watched."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._sequence = 0
        self._window = 0
        self._reading = -1
        self._t0 = 0
        self._unsent: list[Record] = []
        self._unwritten: list[bytes] = []
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        self._journal = os.open(settings["journal"], os.O_WRONLY | os.O_APPEND)
        os.write(self._journal, b"REPROJ01")
        self._self = psutil.Process()
        self._baseline_ns = time.process_time_ns()
        self._group = Group()

    def run(self, command: list[str]) -> int:
        """Start the program and watch it to its end; its exit code."""
        os.sched_setaffinity(0, cpus(self._settings["agent_cpus"]))
        hello = Hello(agent_version="python", role=self._settings["role"], cgroup_version="v2" if V2 else "v1")
        hello.wall_unix_ns, hello.baseline_cpu_ns = time.time_ns(), self._baseline_ns
        self._add(Record(hello=hello))
        # Before gRPC, which does not like forks.
        child = self._start(command)
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        channel = grpc.insecure_channel(f"unix:{self._settings['socket']}")
        grpc.channel_ready_future(channel).result(timeout=2)
        threading.Thread(target=self._listen, args=(CollectorStub(channel),), daemon=True).start()
        threading.Thread(target=self._read, args=(self._reading,), daemon=True).start()
        self._loop(child)
        self._add(Record())
        self._flush()
        self._send()
        self._outbox.put(None)
        time.sleep(0.2)
        return child.returncode

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        reading, writing = os.pipe()
        environment = {key: value for key, value in os.environ.items() if key not in OWN_VARIABLES}
        workload = cpus(self._settings["workload_cpus"])
        child = subprocess.Popen(
            command,
            env={**environment, "REPRO_FD": str(writing)},
            pass_fds=(writing,),
            preexec_fn=lambda: os.sched_setaffinity(0, workload),  # noqa: PLW1509 - there is one thread yet
        )
        os.close(writing)
        self._reading = reading
        return child

    def _read(self, reading: int) -> None:
        while piece := os.read(reading, 65536):
            self._lines.put(piece)

    def _listen(self, stub: CollectorStub) -> None:
        def chunks() -> Iterator[Chunk]:
            while (chunk := self._outbox.get()) is not None:
                yield chunk

        directive: Directive
        for directive in stub.Attach(chunks()):
            if directive.measure_ns:
                self._t0 = directive.measure_ns

    def _loop(self, child: subprocess.Popen[bytes]) -> None:
        watched = psutil.Process(child.pid)
        step = int(NS / self._settings["sample_hz"])
        window = int(self._settings["window_seconds"] * NS)
        due = flushed = time.monotonic_ns()
        while child.poll() is None:
            now = time.monotonic_ns()
            self._add(Record(sample=self._sample(watched)))
            if now - flushed >= 0.95 * NS:
                flushed = now
                self._flush()
                if not self._t0:
                    self._send()
            if self._t0 and now >= self._t0 + (self._window + 1) * window:
                self._add(Record(window_end=WindowEnd(index=self._window)))
                self._window += 1
                self._flush()
                self._send()
            due += step
            time.sleep(max(0.0, (due - time.monotonic_ns()) / NS))

    def _sample(self, child: psutil.Process) -> Sample:
        sample = self._group.read(Sample())
        try:
            for process in (child, *child.children(recursive=True)):
                self._add_process(sample, process, peak=process is child)
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            pass
        sample.agent_cpu_ns = time.process_time_ns() - self._baseline_ns
        sample.agent_rss_bytes = self._self.memory_info().rss
        return sample

    def _add_process(self, sample: Sample, process: psutil.Process, *, peak: bool) -> None:
        with process.oneshot():
            times, memory, switches = process.cpu_times(), process.memory_info(), process.num_ctx_switches()
            sample.cpu_user_ns += int(times.user * NS)
            sample.cpu_system_ns += int(times.system * NS)
            sample.rss_anon_bytes += memory.rss - memory.shared
            sample.rss_file_bytes += memory.shared
            sample.processes += 1
            sample.threads += process.num_threads()
            sample.context_switches_voluntary += switches.voluntary
            sample.context_switches_involuntary += switches.involuntary
        folder = f"/proc/{process.pid}"
        # Neither is in psutil.
        if peak:
            status = Path(f"{folder}/status").read_text()
            sample.rss_peak_bytes = int(status.split("VmHWM:", 1)[1].split(maxsplit=1)[0]) * 1024
        sample.run_queue_wait_ns += int(Path(f"{folder}/schedstat").read_text().split()[1])

    def _add(self, record: Record) -> None:
        self._sequence += 1
        record.sequence, record.monotonic_ns = self._sequence, time.monotonic_ns()
        payload = record.SerializeToString()
        self._unwritten.append(FRAME.pack(len(payload), zlib.crc32(payload)) + payload)
        self._unsent.append(record)

    def _flush(self) -> None:
        pieces = []
        while not self._lines.empty():
            pieces.append(self._lines.get())
        if pieces:
            self._add(Record(lines=Lines(text=b"".join(pieces))))
        os.write(self._journal, b"".join(self._unwritten))
        self._unwritten.clear()

    def _send(self) -> None:
        self._outbox.put(Chunk(records=self._unsent))
        self._unsent = []


def cpus(text: str) -> set[int]:
    """A kernel list as a set."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


if __name__ == "__main__":
    import sys

    raise SystemExit(Agent(json.loads(os.environ["REPRO_AGENT"])).run(sys.argv[1:]))
