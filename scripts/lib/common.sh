# shellcheck shell=bash
# What every script in this folder shares. Source it; it changes into the root of the repository.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
cd "$ROOT" || exit 1

# The name of the calling script stands before every line it prints.
SCRIPT="$(basename "$0")"

say() { printf '[%s] %s\n' "$SCRIPT" "$*"; }

# die MESSAGE...: one line on standard error that names the thing and the remedy, then exit status 1.
die() {
    printf '[%s] error: %s\n' "$SCRIPT" "$*" >&2
    exit 1
}

# usage_error MESSAGE: a wrong argument; exit status 2 as is customary for misuse.
usage_error() {
    printf '[%s] error: %s\nTry: %s --help\n' "$SCRIPT" "$*" "$0" >&2
    exit 2
}

# print_help: the comment block at the top of the calling script, without its comment signs.
print_help() {
    sed -n '2,/^[^#]/{/^#/{s/^# \{0,1\}//;p;};}' "$0"
}

# check_port NAME VALUE: refuse what is not a TCP port before anything else is done with it.
check_port() {
    if [[ ! "$2" =~ ^[0-9]{1,5}$ ]] || ((10#$2 < 1 || 10#$2 > 65535)); then
        usage_error "$1: '$2' is not a port (1 to 65535)"
    fi
}

# port_taken PORT: true when something on this machine accepts connections on it.
port_taken() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# wait_until SECONDS WHAT COMMAND...: poll COMMAND until it succeeds, or fail after SECONDS.
wait_until() {
    local seconds="$1" what="$2"
    shift 2
    local deadline=$((SECONDS + seconds))
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
    : "$what"
}

# stop_process PID NAME: ask it to end, wait up to ten seconds, then insist. Silent when it is gone already.
stop_process() {
    local pid="$1" name="$2"
    kill -TERM "$pid" 2>/dev/null || return 0
    if ! wait_until 10 "$name" process_gone "$pid"; then
        say "$name (process $pid) did not end within 10 s and is killed"
        kill -KILL "$pid" 2>/dev/null || true
    fi
    wait "$pid" 2>/dev/null || true
}

process_gone() {
    # A zombie of ours counts as gone: `wait` collects it.
    local state
    state="$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -c1)" || return 0
    [[ -z "$state" || "$state" == Z ]]
}

# For `swift build --sanitize=address`: Swift traps by itself, of C and C++ the compiler has to be told. V8's headers come without
# the type information that checks of objects' kinds need.
# shellcheck disable=SC2034
UNDEFINED=(-Xcc -fsanitize=undefined -Xcc -fno-sanitize=vptr -Xcc -fno-sanitize-recover=undefined)
