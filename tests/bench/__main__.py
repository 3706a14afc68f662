"""Load the product in turns and print the table; `docs/benchmarks.md` keeps the last one."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from tests.bench.load import Client, Figures, Target
from tests.bench.stock import serving
from tests.e2e import product

PAGE = product.ROOT / "docs" / "benchmarks.md"
MARK = "<!-- table -->"
TEXT = (
    "The harbour will close its old terminal. Ships will call at the new one. It is twice as "
    "fast. Gulls nest on the roofs."
)
TARGETS = (
    Target("(a) bare view", "/bench/bare", stock=True),
    Target("(a′) bare view, our handler", "/bench/bare"),
    Target("(b) plain ORM", "/v1/bench/plain", b'{"input":{"text":"hello"}}'),
    Target("(c) echo", "/v1/agents/echo/invoke", b'{"input":{"text":"hello $N"}}'),
    Target(
        "(d) concierge",
        "/v1/agents/concierge/invoke",
        json.dumps(
            {"input": {"question": f"What is 17 * 23, and summarize this: {TEXT}"}}
        ).encode(),
    ),
    Target(
        "(e) echo, three policies",
        "/v1/agents/governed/invoke",
        b'{"input":{"text":"hello $N"}}',
    ),
)
# How many rows an answer of 200 leaves.
ROWS = {"(b) plain ORM": 1, "(c) echo": 1, "(d) concierge": 3, "(e) echo, three policies": 1}
CONNECTIONS = (1, 16, 64)
PREPARE = "from tests.bench.governed import prepare; prepare(); print('ready')"
DURABLE = ("fsync", "synchronous_commit")

Table = dict[tuple[str, int], Figures]


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="mandate-bench-") as folder:
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.bench.settings"
        product.PASSED_ON = (*product.PASSED_ON, "DJANGO_SETTINGS_MODULE", "WEB_WORKERS")
        running = product.start(Path(folder) / "home")
        try:
            _manage(running, "shell", "--no-imports", "-c", PREPARE)
            with serving(running) as stock:
                report = _bench(running, stock, rounds=options.rounds, seconds=options.seconds)
        finally:
            running.stop()
    print(report)
    head, _, _ = PAGE.read_text().partition(MARK)
    PAGE.write_text(f"{head}{MARK}\n{report}\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="a slice of load")
    return parser.parse_args()


def _bench(running: product.Product, stock: tuple[int, int], *, rounds: int, seconds: float) -> str:
    with psycopg.connect(_database(running), autocommit=True) as database:
        durable = _refuse_unless_durable(database)
        before = _count(database)
        client = Client(_key(running), (running.port, running.process.pid), stock)
        table = {(t.name, n): Figures() for t in TARGETS for n in CONNECTIONS}
        warm = {target.name: Figures() for target in TARGETS}
        for target in TARGETS:
            client.measure(target, connections=4, seconds=1.0, into=warm[target.name])
        for _ in range(rounds):
            for connections in CONNECTIONS:
                for target in TARGETS:
                    into = table[target.name, connections]
                    client.measure(target, connections=connections, seconds=seconds, into=into)
        rows = _count(database) - before
    return "\n".join([_about(durable), "", *_lines(table), "", *_verdicts(table, warm, rows)])


def _refuse_unless_durable(database: Any) -> str:
    """A figure that a power cut could take back is no figure."""
    found = {name: database.execute(f"show {name}").fetchone()[0] for name in DURABLE}
    told = ", ".join(f"{name}={value}" for name, value in found.items())
    if set(found.values()) != {"on"}:
        raise SystemExit(f"Postgres must be durable for this: {told}")
    return told


def _about(durable: str) -> str:
    at = datetime.now(UTC).strftime("%d %B %Y")
    return (
        f"{at}, {os.cpu_count()} cores, Python {platform.python_version()}, {durable}. "
        "Times in ms, CPU in µs a request."
    )


def _lines(table: Table) -> list[str]:
    lines = [
        "| what | connections | requests/s | p50 | p95 | p99 | CPU web | CPU Postgres | errors |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (name, connections), found in table.items():
        times = " | ".join(f"{found.quantile(q) * 1000:.1f}" for q in (0.5, 0.95, 0.99))
        cpu = f"{found.cpu(found.web):.0f} | {found.cpu(found.postgres):.0f}"
        lines.append(
            f"| {name} | {connections} | {found.rate:.0f} | {times} | {cpu} | {found.errors} |"
        )
    return lines


def _verdicts(table: Table, warm: dict[str, Figures], rows: int) -> list[str]:
    """The promises in figures; whoever reads decides."""
    a, _, b, c, _, e = (table[target.name, 16] for target in TARGETS)
    idle_c, idle_d = (table[target.name, 1] for target in TARGETS[3:5])
    cpu, governed_cpu = (found.cpu(found.web + found.postgres) for found in (c, e))
    owed = sum(
        ROWS.get(name, 0) * (len(found.latencies) - found.errors)
        for name, found in [*((n, f) for (n, _), f in table.items()), *warm.items()]
    )
    return [
        f"- (b) reaches {b.rate / a.rate:.2f} × (a) at 16 connections (at least 0.25)",
        f"- (c) reaches {c.rate / b.rate:.2f} × (b) at 16 connections (at least 1.5)",
        f"- (c) costs {cpu / 1000:.2f} ms of CPU, web and Postgres together (at most 3)",
        f"- (c)'s p99 is {c.quantile(0.99) / c.quantile(0.5):.1f} × its p50 (at most 5)",
        f"- (d)'s p50 is {idle_d.quantile(0.5) / idle_c.quantile(0.5):.1f} × (c)'s (at most 4)",
        f"- (e)'s three policies add {(governed_cpu - cpu) / 1000:.2f} ms of CPU to (c), web, its "
        "policy processes and Postgres together (at most 1.5)",
        f"- rows {rows}, owed by answers of 200: {owed}",
    ]


def _database(running: product.Product) -> str:
    """The application's own way to the database."""
    return _of_instance(
        running,
        "from django.conf import settings as s; d = s.DATABASES['default'];"
        "print(f\"postgresql://{d['USER']}:{d['PASSWORD']}@{d['HOST']}:{d['PORT']}/{d['NAME']}\")",
    )


def _key(running: product.Product) -> str:
    return _manage(running, "apikey", "--org", "acme", "--user", "owner@acme.example")


def _of_instance(running: product.Product, code: str) -> str:
    return _manage(running, "shell", "--no-imports", "-c", code)


def _manage(running: product.Product, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=product.ROOT,
        env={**os.environ, "MANDATE_HOME": str(running.home)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip().splitlines()[-1]


def _count(database: Any) -> int:
    """Runs of the demo org."""
    schema, org = database.execute(
        "select schema_name, id from public.tenants_org where slug = 'acme'"
    ).fetchone()
    with database.transaction():
        database.execute("select set_config('app.org_id', %s, true)", [str(org)])
        found: int = database.execute(f'select count(*) from "{schema}".runs').fetchone()[0]
    return found


if __name__ == "__main__":
    main()
