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
client=

end() {
    trap - EXIT INT TERM
    local child
    for child in $client $server; do kill -KILL "$child" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() { echo "million: $1" >&2; exit "${2:-1}"; }

# 11 KB a pair of connections, both processes and the kernel together, and 1 GB beside them; never more than 22 GiB.
needed=$((count * 11 / 1024 + 1024))
available=$(($(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo) / 1024))
((needed <= 22 * 1024)) || die "$count connections need $needed MiB, more than 22 GiB" 2
((needed <= available)) || die "$count connections need $needed MiB, and $available are available" 2

cargo build --release --quiet -p lakh --example ws_echo --example hello --example echo || die "the build failed"
cargo build --release --quiet -p lakh-loadtest --example million || die "the build failed"
target=${CARGO_TARGET_DIR:-target}/release/examples

# A table of descriptors for each shard: connections are spread over them by a hash, so they get a fifth of room.
limit=$(ulimit -Hn)
[[ $limit == unlimited ]] && limit=1048576
((limit > 1000)) || die "a hard limit of $limit open files is too low" 2
shards_for() { echo $((($1 * 5 / 4 + limit - 513) / (limit - 512) + 1)); }

# Huge pages would round each thread's memory up to two of them.
export MIMALLOC_ALLOW_THP=0

# start EXAMPLE COUNT [FLAG...]: sets `server` and `port`.
start() {
    local example=$1 connections=$2 log=$folder/$1.log
    shift 2
    "$target/$example" --listen 127.0.0.1:0 --shards "$(shards_for "$connections")" --private-descriptors "$@" >"$log" 2>&1 &
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
# load NAME URL COUNT [FLAG...]: its lines are in $folder/NAME.
load() {
    local name=$1
    shift
    # In the background, so that a signal is heard at once.
    "$target/million" "$1" "$2" "$server" --rate "$rate" "${@:3}" >"$folder/$name" &
    client=$!
    wait "$client" || failed=1
    client=
    kill -KILL "$server"
    wait "$server" 2>/dev/null
    server=
}

of() { sed -n "s/^$2=//p" "$folder/$1"; }

echo "WebSocket, $count connections" >&2
start ws_echo "$count" --style callback
load ws "ws://127.0.0.1:$port/topic/all" "$count" --hold "$hold" --publish
echo "HTTP, $few connections" >&2
start hello "$few"
load http "http://127.0.0.1:$port/plaintext" "$few"
echo "UDP, $few peers" >&2
start echo "$few"
# Slower: the kernel drops what comes while a socket's buffer of some 270 datagrams is full.
load udp "udp://127.0.0.1:$port" "$few" --rate $((rate / 5 > 0 ? rate / 5 : 1))

row() { printf '%-36s %14s %14s %14s\n' "$@"; }
# each LABEL NAME: the value of all three.
each() { row "$1" "$(of ws "$2")" "$(of http "$2")" "$(of udp "$2")"; }
row "" WebSocket HTTP UDP
each "connections asked for" requested
each "established" established
each "  in seconds" connect_s
row "held, seconds" "$(of ws held_s)" - -
row "  lost meanwhile" "$(of ws lost_in_hold)" - -
each "lost in all" lost
each "answered, each in its turn" answered
each "  half within, ms" response_p50_ms
each "  99 of 100 within, ms" response_p99_ms
each "errors" errors
each "messages that never came" missing
row "broadcast received by" "$(of ws received)" - -
row "  the last one after, seconds" "$(of ws last_receiver_s)" - -
row "server, user bytes a connection" "$(of ws server_bytes)" - -
row "client, user bytes a connection" "$(of ws client_bytes)" - -
row "server, client in all, MiB" "$(of ws server_mib), $(of ws client_mib)" - -
row "kernel: slab, socket buffers, MiB" "$(of ws slab_mib), $(of ws sockets_mib)" - -
row "  both ends, bytes a connection" "$(of ws kernel_bytes_per_pair)" - -
exit $failed
