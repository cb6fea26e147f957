"""Names of this machine and its user that could betray it. A plain word (debian, runner, docker) cannot: programs and
pages of others are full of it.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re

_PLAIN_WORD = re.compile(r"[A-Za-z]*")


def own_names() -> dict[str, str]:
    """What Linux calls this machine and the user, as far as no stranger could have written it by chance."""
    found = {"host name": os.uname().nodename}
    with contextlib.suppress(KeyError, OSError):  # a number without a name
        found["user name"] = getpass.getuser()
    return {what: name for what, name in found.items() if not _PLAIN_WORD.fullmatch(name)}
