#!/usr/bin/env python3
"""What hashing costs those who hash nothing: response times with the pool's lanes, and with one queue as in libuv.

    benches/compare/starvation.py [--rounds 3] [--seconds 3] [--hashing 64]

Builds lakh and the example `lanes` (release). The capacity for plain answers and for files of 4 KiB that the pool reads is
measured first, in a closed loop, without hashing. Then `lakh load` asks for 20 % of it in an open loop, where response times
count from when a request was due: without hashing, and while so many passwords are hashed at a time (Argon2id) without an
end, which is more than all CPUs can do. Server and client share the machine's CPUs with the hashing; the server has one
shard. The client has real-time priority, as if it ran on another machine: what keeps a client from a CPU is no time of the
server's. That takes root, or a limit of real-time priority (ulimit -r). Medians of the rounds; "answered" is the share of the
requests that were due.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 64
SHARE = 0.2
REAL_TIME = ["chrt", "--fifo", "1"]
FILES, LENGTH = 200, 4096


def build():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    cargo = ["cargo", "build", "--quiet", "--release"]
    subprocess.run([*cargo, "-p", "lakh-cli"], cwd=ROOT, check=True)
    subprocess.run([*cargo, "--example", "lanes"], cwd=ROOT, check=True)
    return target / "lakh", target / "examples" / "lanes"


class Server:
    def __init__(self, program, folder, *options):
        command = [program, "--listen", "127.0.0.1:0", "--shards", "1", "--files", folder, *options]
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
        self.url = re.search(r"http://\S+", self.process.stdout.readline()).group()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def load(lakh, folder, url, paths, seconds, rate=None):
    report = folder / "report.json"
    listed = folder / "paths"
    listed.write_text("".join(f"{path}\n" for path in paths))
    command = [lakh, "load", "--no-tui", "--json", report, "--urls", listed, "-c", CONNECTIONS, "-d", f"{seconds}s"]
    command += ["-R", f"{rate:.0f}"] if rate else []
    ended = subprocess.run([str(part) for part in [*REAL_TIME, *command, url]], stdout=subprocess.DEVNULL)
    if ended.returncode not in (0, 3):
        raise SystemExit(f"lakh load ended with {ended.returncode}")
    return json.loads(report.read_text())


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=int, default=3)
    options.add_argument("--hashing", type=int, default=64)
    options = options.parse_args()
    if not shutil.which("chrt") or subprocess.run([*REAL_TIME, "true"]).returncode:
        raise SystemExit("the client may not have real-time priority: run it as root, with chrt (util-linux)")
    lakh, lanes = build()
    with tempfile.TemporaryDirectory() as folder:
        measure(options, lakh, lanes, Path(folder))


def measure(options, lakh, lanes, folder):
    served = folder / "files"
    served.mkdir()
    for number in range(FILES):
        (served / f"{number}").write_bytes(os.urandom(LENGTH))
    kinds = {"plain": ["/"], "4 KiB files": [f"/files/{number}" for number in range(FILES)]}
    hashing = ["--hashing", options.hashing]
    setups = {
        "lanes": [],
        "lanes, hashing": hashing,
        "one lane": ["--one-lane", "yes"],
        "one lane, hashing": ["--one-lane", "yes", *hashing],
    }
    with Server(lanes, served) as server:
        closed = lambda paths: load(lakh, folder, server.url, paths, options.seconds)["requests"]["completed_per_s"]
        rates = {kind: SHARE * closed(paths) for kind, paths in kinds.items()}
    found = {(setup, kind): [] for setup in setups for kind in kinds}
    for _ in range(options.rounds):
        for setup, flags in setups.items():
            with Server(lanes, served, *flags) as server:
                for kind, paths in kinds.items():
                    report = load(lakh, folder, server.url, paths, options.seconds, rates[kind])
                    found[setup, kind].append(report)
    show(options, rates, found)


def show(options, rates, found):
    print(f"{os.cpu_count()} CPUs, {options.rounds} rounds of {options.seconds} s, {options.hashing} hashes at a time\n")
    print("| | requests | due/s | answered | p50 ms | p99 ms | p99 ÷ that of lanes without hashing |")
    print("|---|---|---|---|---|---|---|")
    middle = lambda reports, of: statistics.median(of(report) for report in reports)
    quantile = lambda name: lambda report: report["latency"]["response"][name] / 1000
    for (setup, kind), reports in found.items():
        due = rates[kind]
        answered = middle(reports, lambda report: report["requests"]["completed_per_s"] / due)
        p50, p99 = middle(reports, quantile("p50_us")), middle(reports, quantile("p99_us"))
        times = p99 / middle(found["lanes", kind], quantile("p99_us"))
        print(f"| {setup} | {kind} | {due:,.0f} | {answered:.0%} | {p50:.2f} | {p99:.2f} | {times:.1f} |")


if __name__ == "__main__":
    main()
