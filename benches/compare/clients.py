#!/usr/bin/env python3
"""`lakh load` beside wrk: CPU time of the client's process per request, against the same server in the same run.

    benches/compare/clients.py [--rounds 15] [--seconds 1]

Builds lakh and the example `hello` (profile dist). wrk has to be installed: apt-get install wrk. The server has one CPU
and the client another one. Both clients take turns, in alternating order; the ratio is taken within a round, and stands
here as the median with an interval by order statistics. Below 1, lakh takes less.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = """
init = function(args)
    local requests = {}
    for at = 1, 16 do requests[at] = wrk.format() end
    all = table.concat(requests)
end
request = function() return all end
"""
CASES = [("64 connections", 64, 1), ("512 connections", 512, 1), ("64 connections, 16 pipelined", 64, 16)]


def build():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "dist"
    cargo = ["cargo", "build", "--quiet", "--profile", "dist"]
    subprocess.run([*cargo, "-p", "lakh-cli"], cwd=ROOT, check=True)
    subprocess.run([*cargo, "--example", "hello"], cwd=ROOT, check=True)
    return target / "lakh", target / "examples" / "hello"


def on_cpu(cpu, command):
    pin = lambda: os.sched_setaffinity(0, {cpu})
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=pin)


def cost(cpu, command, pattern):
    """Microseconds of CPU time per request, and requests."""
    client = on_cpu(cpu, [str(part) for part in command])
    report = client.stdout.read()
    _, status, used = os.wait4(client.pid, 0)
    client.returncode = os.waitstatus_to_exitcode(status)
    found = re.search(pattern, report)
    if client.returncode or not found or "Non-2xx" in report or "Socket errors" in report:
        raise SystemExit(f"{command[0]} did not measure:\n{report}")
    requests = int(found.group(1).replace(",", ""))
    return (used.ru_utime + used.ru_stime) / requests * 1e6, requests


def interval(values):
    """The median, and the order statistics that hold it with 95 % and more (for 15 values: the 4th and the 12th)."""
    values = sorted(values)
    out = max(0, int(len(values) / 2 - len(values) ** 0.5))
    return statistics.median(values), values[out], values[-1 - out]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--seconds", type=int, default=1)
    options = options.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed: apt-get install wrk")
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise SystemExit("it takes two CPUs")
    lakh, hello = build()
    server = on_cpu(cpus[0], [str(hello), "--listen", "127.0.0.1:0", "--shards", "1"])
    try:
        url = re.search(r"http://\S+", server.stdout.readline()).group() + "/plaintext"
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(PIPELINE)
            script.flush()
            print("| | lakh load, µs | wrk, µs | lakh : wrk |\n|---|---|---|---|", flush=True)
            for name, connections, pipelined in CASES:
                ours = [lakh, "load", url, "-t", 1, "-c", connections, "-d", f"{options.seconds}s", "-p", pipelined]
                wrks = ["wrk", "-t1", f"-c{connections}", f"-d{options.seconds}s", url]
                if pipelined > 1:
                    wrks[1:1] = ["-s", script.name]
                clients = [(ours, r"requests\s+([\d,]+)"), (wrks, r"(\d+) requests in")]
                rounds = []
                for number in range(options.rounds):
                    order = (0, 1) if number % 2 == 0 else (1, 0)
                    costs = {at: cost(cpus[1], *clients[at]) for at in order}
                    rounds.append((costs[0][0], costs[1][0]))
                median, low, high = interval([ours / other for ours, other in rounds])
                ours, other = (statistics.median(side) for side in zip(*rounds))
                print(f"| {name} | {ours:.2f} | {other:.2f} | {median:.2f} ({low:.2f} to {high:.2f}) |", flush=True)
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
