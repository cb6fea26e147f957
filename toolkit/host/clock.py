"""Whether somebody keeps this machine's clock: adjtimex(2), asked without changing anything."""

from __future__ import annotations

import ctypes
import os

_TIMEX_BYTES = 256  # struct timex has 208 on 64-bit Linux (include/uapi/linux/timex.h)
_STATUS = slice(40, 44)  # after modes (padded), offset, freq, maxerror and esterror
_STA_UNSYNC = 0x0040


def clock_synchronised() -> bool | None:
    """Whether the kernel holds its clock for synchronised (NTP, PTP or a hypervisor); None when it does not tell."""
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes = 0: only read
    try:
        answer = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    if answer < 0 or os.sysconf("SC_LONG_BIT") != 64:
        return None
    return not int.from_bytes(buffer.raw[_STATUS], "little") & _STA_UNSYNC
