#!/bin/bash
# How long a million WebSockets (or COUNT) take to open over loopback, and a broadcast to all of them: with the barest
# client and server that there can be (`ws_connect`, `ws_floor`), with lakh's server beside the same client, and with
# `lakh load` beside lakh's server. Runs are taken in turn; each needs about a minute and a half and 11 GB.
#
#   benches/compare/million.sh [COUNT]     ROUNDS=N (1)
set -eu
cd "$(dirname "$0")/../.."

count=${1:-1000000}
[[ $count =~ ^[1-9][0-9]{2,6}$ ]] || { echo "usage: $0 [COUNT]" >&2; exit 2; }
folder=$(mktemp -d)
server=
end() {
    [[ $server ]] && kill -KILL "$server" 2>/dev/null
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 130' INT

cargo build --release --quiet -p lakh --example ws_echo
cargo build --release --quiet -p lakh-cli
(cd benches/compare && cargo build --release --quiet --locked --bin ws_floor --bin ws_connect)
lakh=${CARGO_TARGET_DIR:-$PWD/target}/release
bare=${CARGO_TARGET_DIR:-$PWD/benches/compare/target}/release

# Connections are spread over tables by a hash.
shards=$((count * 5 / 4 / ($(ulimit -Hn) - 512) + 2))
# Huge pages would round each thread's memory up to two of them.
export MIMALLOC_ALLOW_THP=0
# All of this shell's children: of a hundred threads on few CPUs, who is woken waits its turn (sched(7)).
chrt --batch --pid 0 $$ || echo "million: without SCHED_BATCH" >&2

# start COMMAND...: sets `address`.
start() {
    "$@" --listen 127.0.0.1:0 --shards "$shards" --private-descriptors >"$folder/log" 2>&1 &
    server=$!
    for _ in {1..200}; do
        address=$(sed -n 's/^listening on [a-z]*:\/\/\(127\.0\.0\.1:[0-9]*\).*/\1/p' "$folder/log")
        [[ $address ]] && return
        sleep 0.05
    done
    cat "$folder/log" >&2
    exit 1
}

finish() {
    kill -KILL "$server"
    wait "$server" 2>/dev/null || true
    server=
}

row() { printf '%-28s %10s s %10s s\n' "$@"; }
bare_client() {
    "$bare/ws_connect" --to "$address" --connections "$count" >"$folder/out"
    row "$1" $(sed -n 's/.* \([0-9.]*\) s$/\1/p' "$folder/out")
    finish
}
lakh_client() {
    "$lakh/lakh" load "ws://$address/topic/all" -c "$count" -n "$count" -R 50000 -d 300s -T 30s \
        --ws echo,broadcast --json "$folder/json" >"$folder/out" 2>&1 || { cat "$folder/out" >&2; exit 1; }
    row "$1" $(python3 -c '
import json, sys
run = json.load(open(sys.argv[1]))
print("%.2f %.2f" % (run["connecting_s"], run["broadcast"]["last"]["max_us"] / 1e6))' "$folder/json")
    finish
}

printf '%-28s %12s %12s\n' "$count connections" connected broadcast
for ((round = 0; round < ${ROUNDS:-1}; round++)); do
    start "$bare/ws_floor"
    bare_client "bare server, bare client"
    start "$lakh/examples/ws_echo" --style callback --idle-timeout 600
    bare_client "lakh, bare client"
    start "$lakh/examples/ws_echo" --style callback --idle-timeout 600
    lakh_client "lakh, lakh load"
done
