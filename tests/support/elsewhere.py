"""``repro verify`` as on another system: what Linux alone has is taken from our modules, and theirs is left as it is.

    python tests/support/elsewhere.py windows verify FILE

Modules that other systems lack cannot be imported; attributes that they lack (Python's documentation, "Availability")
are missing where one of our modules asks for them; files below /proc, /sys and /dev are not there; text is cp1252, as
on a Windows console. The third-party packages are whatever those systems install, so nothing is hidden from them.
"""

from __future__ import annotations

import builtins
import io
import os
import signal
import socket
import sys
import time
from types import ModuleType
from typing import Any

MODULES = ("docker", "grpc", "fcntl", "psutil", "pwd", "grp", "resource", "termios", "numpy", "httpx", "syslog", "pty")
LINUX = {
    "os": (
        "O_DIRECT", "O_PATH", "O_TMPFILE", "O_NOATIME", "sched_getaffinity", "sched_setaffinity", "memfd_create",
        "getrandom", "getxattr", "listxattr", "setxattr", "removexattr", "pipe2", "posix_fadvise", "posix_fallocate",
        "copy_file_range", "splice", "eventfd", "pidfd_open", "setns", "unshare", "fdatasync",
    ),
    "signal": ("SIGPWR", "SIGSTKFLT", "SIGRTMIN", "SIGRTMAX", "sigwaitinfo", "sigtimedwait", "pidfd_send_signal"),
    "socket": ("SO_PEERCRED", "AF_NETLINK", "AF_PACKET", "SOCK_CLOEXEC", "SOCK_NONBLOCK"),
    "time": ("CLOCK_BOOTTIME", "CLOCK_TAI"),
}  # fmt: skip
POSIX = {
    "os": (
        "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "O_CLOEXEC", "O_SYNC", "O_DSYNC", "O_NOCTTY", "chown", "fchmod",
        "fchown", "lchown", "fork", "forkpty", "fchdir", "fpathconf", "fstatvfs", "statvfs", "getegid", "geteuid",
        "getgid", "getgroups", "getloadavg", "getpgid", "getpgrp", "getpriority", "getresuid", "getsid", "getuid",
        "initgroups", "killpg", "lockf", "major", "makedev", "minor", "mkfifo", "mknod", "nice", "openpty", "pathconf",
        "posix_spawn", "pread", "preadv", "pwrite", "readv", "register_at_fork", "sched_yield", "sendfile",
        "setgid", "setpgid", "setpriority", "setsid", "setuid", "sync", "sysconf", "tcgetpgrp", "ttyname", "uname",
        "wait", "wait3", "wait4", "waitid", "writev", "WEXITSTATUS", "WIFSIGNALED", "WNOHANG", "EX_OK", "EX_USAGE",
        "chroot", "confstr", "ctermid", "statvfs_result",
    ),
    "signal": (
        "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE", "SIGCHLD", "SIGCONT", "SIGQUIT", "SIGSTOP",
        "SIGTSTP", "alarm", "pause", "pthread_kill", "pthread_sigmask", "setitimer", "siginterrupt", "sigwait",
        "set_wakeup_fd",
    ),
    "socket": ("AF_UNIX", "socketpair", "SO_REUSEPORT", "sethostname", "if_nametoindex"),
    "time": ("clock_gettime", "clock_gettime_ns", "clock_settime", "CLOCK_MONOTONIC", "CLOCK_REALTIME", "tzset"),
}  # fmt: skip
_REAL = {"os": os, "signal": signal, "socket": socket, "time": time}
_FOLDERS = ("/proc/", "/sys/", "/dev/")
_OURS = "toolkit"


def _ours(depth: int) -> bool:
    return str(sys._getframe(depth).f_globals.get("__name__", "")).partition(".")[0] == _OURS


class _Elsewhere(ModuleType):
    """A module of the standard library as our modules would find it there."""

    def __init__(self, real: ModuleType, lacks: frozenset[str]) -> None:
        super().__init__(real.__name__, real.__doc__)
        self._real, self._lacks = real, lacks

    def __getattr__(self, name: str) -> Any:
        if name in self._lacks and _ours(2):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on this system")
        found = getattr(self._real, name)
        if self.__name__ == "os" and name in ("open", "mkdir", "stat", "link", "unlink") and _ours(2):
            return lambda *a, **k: _no_dir_fd(k) or found(*a, **k)
        return found


def _no_dir_fd(options: dict[str, Any]) -> None:
    if any(name.endswith("dir_fd") for name in options):
        raise NotImplementedError("dir_fd unavailable on this platform")


def leave_linux(system: str) -> None:
    """Take away what ``system`` (windows, macos) lacks."""
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for name, real in _REAL.items():
        lacks = frozenset(LINUX[name]) | (frozenset(POSIX[name]) if system == "windows" else frozenset())
        sys.modules[name] = _Elsewhere(real, lacks)
    known = builtins.open

    def opened(file: Any, *arguments: Any, **options: Any) -> Any:
        if str(file).startswith(_FOLDERS) and _ours(2):
            raise FileNotFoundError(2, "No such file or directory", str(file))
        return known(file, *arguments, **options)

    builtins.open = opened
    if system == "windows":
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="cp1252", errors="strict", newline="\n")
        sys.stderr = io.TextIOWrapper(sys.stderr.buffer, encoding="cp1252", errors="strict", newline="\n")


if __name__ == "__main__":
    leave_linux(sys.argv.pop(1))
    from toolkit.cli import main

    main()
