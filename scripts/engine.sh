#!/bin/sh
# engine.sh: returns 0 when a container engine answers. Where none does and we may (root, apt), installs Debian's and
# starts it; else exit 4 with the commands to type. Never stops a daemon.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

WAIT_SECONDS=60
LOG=/var/log/dockerd.log

# 0 answers, 3 nothing answers on the default socket, 4 everything else (said on stderr).
probe() {
    .venv/bin/python - <<'PYTHON'
import sys
from toolkit.engine import endpoint
from toolkit.errors import EngineError
try:
    path = endpoint.engine_socket()
    endpoint.probe_socket(path)
except EngineError as error:
    ours = "path" in globals() and path == endpoint.DEFAULT_SOCKET and error.title == "No container engine answers"
    print(f"setup: {error.title}\n  why: {error.cause}\n  do:  {error.remedy}", file=sys.stderr)
    sys.exit(3 if ours else 4)
PYTHON
}

start_engine() {
    if [ -d /run/systemd/system ]; then
        systemctl start docker >&2 || true
    elif ! pgrep -x dockerd >/dev/null 2>&1; then
        # In a session of its own and without our descriptors, so that it outlives make and holds no lock of ours.
        setsid dockerd </dev/null >"$LOG" 2>&1 9>&- &
    fi
    waited=0
    while [ "$waited" -lt "$WAIT_SECONDS" ]; do
        if probe 2>/dev/null; then return 0; fi
        sleep 1
        waited=$((waited + 1))
    done
    return 1
}

# A kernel with AppArmor on makes the engine load a profile: without the parser it answers and starts no container.
lacks_parser() {
    [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" = Y ] && [ ! -x /usr/sbin/apparmor_parser ] &&
        [ ! -x /sbin/apparmor_parser ]
}

if lacks_parser; then
    may_install && install_packages apparmor ||
        say "setup: AppArmor is on and its parser is missing: sudo apt-get install -y apparmor"
fi
state=0
words=$(probe 2>&1) || state=$?
[ "$state" != 0 ] || exit 0
if [ "$state" != 3 ] || ! may_install; then
    say "$words"
    exit 4
fi
command -v dockerd >/dev/null 2>&1 || install_packages docker.io iptables ||
    fail 4 "docker.io cannot be installed" "apt-get update && apt-get install -y --no-install-recommends docker.io iptables"
say "setup: starting the engine"
start_engine || {
    [ ! -r "$LOG" ] || tail -n 5 "$LOG" >&2
    fail 4 "the engine does not answer after $WAIT_SECONDS s" "look at $LOG or: journalctl -u docker"
}
say "setup: the engine answers"
