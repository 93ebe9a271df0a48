"""What a run found, as text: failed checks first, then the times.

    python benchmarks/gpu/table.py FOLDER        with checks.jsonl and operations.jsonl
"""

import json
import sys
from pathlib import Path

FAILED, ROWS = 25, 120


def main() -> None:
    folder = Path(sys.argv[1])
    checks, rows = _read(folder / 'checks.jsonl'), _read(folder / 'operations.jsonl')
    failed = [row for row in checks if row['ok'] is False]
    print(f'{len(checks)} checks, {len(failed)} failed')
    for row in failed[:FAILED]:
        print(' ', row['check'], row.get('problem') or f'error {row["error"]:.2g}, limit {row["limit"]:.2g}')
    for row in rows[:ROWS]:
        print(f'{row["case"][:52]:52} {row["who"][:20]:20} {row["mode"][:16]:16} {_result(row)}')


def _read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _result(row: dict) -> str:
    if 'us' in row:
        return f'{row["us"]:9.0f} us'
    if 'ms' not in row:
        return row['problem'][:60]
    return f'{row["ms"]:9.3f} ms {row.get("tflops", 0):7.1f} TFLOP/s {row["mib"]:7.0f} MiB'


if __name__ == '__main__':
    main()
