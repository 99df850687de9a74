"""The manifest of a set: what was sent, so that the receiver can check it. Holds no person's data."""

import json
from typing import Any

from exports.models import Run, RunFile
from exports.plan import Plan

VERSION = 1


def manifest_of(run: Run, plan: Plan, files: list[RunFile]) -> bytes:
    """Return the manifest as JSON; `files` are the parts under their final names."""
    content = {
        "version": VERSION,
        "run": run.pk,
        "export": plan.export,
        "advertiser": plan.advertiser,
        "mode": plan.mode,
        "due_at": run.due_at.isoformat(),
        "as_of": run.as_of.isoformat() if run.as_of else None,
        "columns": plan.headers(),
        "segments": [
            {"id": one.id, "code": one.code, "name": one.name, "version": one.version} for one in plan.segments
        ],
        "files": [_file(file) for file in files],
        "totals": {
            "files": len(files),
            "rows": sum(file.rows for file in files),
            "bytes": sum(file.bytes for file in files),
        },
    }
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _file(file: RunFile) -> dict[str, Any]:
    """`rows` without the header line; bytes and digest as delivered, after compression."""
    return {"name": file.name, "rows": file.rows, "bytes": file.bytes, "sha256": file.sha256}
