# Shared by the scripts of this folder; sourced, never run.

say() { printf '%s\n' "$*" >&2; }

# fail CODE TITLE [DO...]: exit codes are those of the repro command (design, section 14).
fail() {
    code=$1
    title=$2
    shift 2
    say "setup: $title"
    for line in "$@"; do say "  do:  $line"; done
    exit "$code"
}

may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

install_packages() {
    say "setup: installing $* (apt-get)"
    export DEBIAN_FRONTEND=noninteractive
    said=$(mktemp)
    code=0
    # The package lists of a new machine are empty or old: a first failure says nothing yet.
    { quiet_apt install "$@" || { quiet_apt update && quiet_apt install "$@"; }; } >"$said" 2>&1 || code=$?
    [ "$code" = 0 ] || tail -n 20 "$said" >&2
    rm -f "$said"
    return "$code"
}

quiet_apt() {
    verb=$1
    shift
    set -- "$verb" -y "$@"
    [ "$verb" = install ] && set -- "$@" --no-install-recommends
    apt-get -qq -o DPkg::Lock::Timeout=300 "$@" 9>&-
}
