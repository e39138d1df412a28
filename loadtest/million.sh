#!/bin/bash
# A million connections (or COUNT) between two processes of this machine, over loopback alone: WebSockets that stand,
# answer in turn and all get one broadcast; and a tenth as many HTTP connections and UDP peers, each asked in turn.
# Prints one table; ends with 1 if anything was lost or did not answer, with 2 if the machine has no room for it.
#
#   loadtest/million.sh [COUNT]      HOLD=SECONDS (60) how long they stand; RATE=N (50000) requests a second
set -u
cd "$(dirname "$0")/.."

count=${1:-1000000}
[[ $count =~ ^[1-9][0-9]{0,8}$ ]] || { echo "usage: $0 [COUNT]" >&2; exit 2; }
few=$((count / 10 > 0 ? count / 10 : 1))
hold=${HOLD:-60}
rate=${RATE:-50000}
folder=$(mktemp -d)
server=

end() {
    trap - EXIT INT TERM
    # Not by variables: a signal may come between a start and the assignment behind it.
    local child
    for child in $(jobs -p); do kill -KILL "$child" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() { echo "million: $1" >&2; exit "${2:-1}"; }

command -v python3 >/dev/null || die "python3 is needed for the table" 2

# 11 KB a pair of connections, both processes and the kernel together, and 1 GB beside them; never more than 22 GiB.
needed=$((count * 11 / 1024 + 1024))
available=$(($(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo) / 1024))
((needed <= 22 * 1024)) || die "$count connections need $needed MiB, more than 22 GiB" 2
((needed <= available)) || die "$count connections need $needed MiB, and $available are available" 2

cargo build --release --quiet -p lakh --example ws_echo --example hello --example echo || die "the build failed"
cargo build --release --quiet -p lakh-cli || die "the build failed"
target=${CARGO_TARGET_DIR:-target}/release

# A table of descriptors for each shard: connections are spread over them by a hash, so they get a fifth of room.
limit=$(ulimit -Hn)
[[ $limit == unlimited ]] && limit=1048576
((limit > 1000)) || die "a hard limit of $limit open files is too low" 2
shards_for() { echo $((($1 * 5 / 4 + limit - 513) / (limit - 512) + 1)); }

# Huge pages would round each thread's memory up to two of them.
export MIMALLOC_ALLOW_THP=0
# All of this shell's children. There are a hundred threads and few CPUs: who is woken waits its turn, and finds more to
# do then (sched(7)).
chrt --batch --pid 0 $$ || echo "million: without SCHED_BATCH" >&2

# start EXAMPLE COUNT [FLAG...]: sets `server` and `port`.
start() {
    local example=$1 log=$folder/$1.log shards
    # Not among the flags: there a child of the child would do it, which nobody kills.
    shards=$(shards_for "$2")
    shift 2
    : >"$log"
    "$target/examples/$example" --listen 127.0.0.1:0 --shards "$shards" --private-descriptors "$@" >"$log" 2>&1 &
    server=$!
    for _ in {1..200}; do
        port=$(sed -n 's/^listening on [a-z]*:\/\/127\.0\.0\.1:\([0-9]*\).*/\1/p' "$log")
        [[ $port ]] && return
        kill -0 "$server" 2>/dev/null || break
        sleep 0.05
    done
    cat "$log" >&2
    die "$example did not start"
}

failed=0
# load NAME COUNT RATE URL [FLAG...]: what came of it is in $folder/NAME.json. Each connection asks once.
load() {
    local name=$1 connections=$2 each_second=$3
    shift 3
    # An end, should the server stall.
    local flags=(-c "$connections" -n "$connections" -R "$each_second" -d $((30 + 4 * connections / each_second))s)
    flags+=(-T 30s --pid "$server" --json "$folder/$name.json")
    flags+=(--fail-if "established<$connections" --fail-if "answered<$connections")
    flags+=(--fail-if 'lost>0' --fail-if 'errors>0' --fail-if 'missing>0')
    # In the background, so that a signal is heard at once.
    "$target/lakh" load "${flags[@]}" "$@" >"$folder/$name.txt" &
    wait $! || { failed=1; cat "$folder/$name.txt" >&2; }
    kill -KILL "$server"
    wait "$server" 2>/dev/null
    server=
    [[ -s $folder/$name.json ]] || die "$name has no report"
}

echo "WebSocket, $count connections" >&2
# Pinged every 5 minutes: at the usual 30 seconds a million pings would be a third of all that is sent.
start ws_echo "$count" --style callback --idle-timeout 600
load ws "$count" "$rate" "ws://127.0.0.1:$port/topic/all" --ws echo,broadcast --hold "${hold}s"
echo "HTTP, $few connections" >&2
start hello "$few"
load http "$few" "$rate" "http://127.0.0.1:$port/plaintext"
echo "UDP, $few peers" >&2
start echo "$few"
# Slower: the kernel drops what comes while a socket's buffer of some 270 datagrams is full.
load udp "$few" $((rate / 5 > 0 ? rate / 5 : 1)) "udp://127.0.0.1:$port"

python3 - "$folder" <<'TABLE' || die "the reports have no table"
import json, sys

runs = [json.load(open(f"{sys.argv[1]}/{name}.json")) for name in ("ws", "http", "udp")]
ws = runs[0]


def row(name, *cells):
    print(f"{name:36}" + "".join(f" {cell:>14}" for cell in cells))


def each(name, value):
    row(name, *map(value, runs))


def held(value):
    """What was seen of the WebSockets while they stood, if the system tells of it."""
    try:
        return value(ws["held"])
    except TypeError:
        return "-"


def milliseconds(quantile):
    return lambda run: f"{run['latency']['response'][quantile] / 1e3:.2f}" if run["latency"]["response"] else "-"


def mebibytes(count):
    return count >> 20


def added(memory):
    return max(memory["held_bytes"] - memory["before_bytes"], 0)


last = ws["broadcast"]["last"] if ws["broadcast"] else None
row("", "WebSocket", "HTTP", "UDP")
each("connections asked for", lambda run: run["plan"]["connections"])
each("established", lambda run: run["connections"]["established"])
each("  in seconds", lambda run: f"{run['connecting_s']:.2f}")
row("held, seconds", held(lambda held: f"{held['time_s']:.0f}"), "-", "-")
row("  lost meanwhile", held(lambda held: held["lost"]), "-", "-")
each("lost in all", lambda run: run["connections"]["lost"])
each("answered, each in its turn", lambda run: run["connections"]["answered"])
each("  half within, ms", milliseconds("p50_us"))
each("  99 of 100 within, ms", milliseconds("p99_us"))
each("errors", lambda run: run["errors"]["total"])
each("messages that never came", lambda run: run["delivery"]["missing"])
row("broadcast received by", ws["broadcast"]["received"] if ws["broadcast"] else "-", "-", "-")
row("  the last one after, seconds", f"{last['max_us'] / 1e6:.2f}" if last else "-", "-", "-")
row("server, user bytes a connection", held(lambda held: held["server"]["per_connection_bytes"]), "-", "-")
row("client, user bytes a connection", held(lambda held: held["client"]["per_connection_bytes"]), "-", "-")
of_both = lambda held: ", ".join(str(mebibytes(held[name]["held_bytes"])) for name in ("server", "client"))
row("server, client in all, MiB", held(of_both), "-", "-")
of_kernel = lambda held: f"{mebibytes(added(held['kernel_slab']))}, {mebibytes(held['kernel_sockets']['held_bytes'])}"
row("kernel: slab, socket buffers, MiB", held(of_kernel), "-", "-")
of_pair = lambda held: sum(held[name]["per_connection_bytes"] for name in ("kernel_slab", "kernel_sockets"))
row("  both ends, bytes a connection", held(of_pair), "-", "-")
TABLE
exit $failed
