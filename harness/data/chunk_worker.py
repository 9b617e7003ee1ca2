"""The process that does chunks: `python -m harness.data.chunk_worker FOLDER ROOT`, of the plan and of its source.

Reads a part and a chunk per line, answers with a line each, and ends when its input does, be it because the process
that started it has ended.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness.data import chunk
from harness.data.plan import read_plan


def main() -> None:
    """Answer until nothing more is asked."""
    plan = read_plan(Path(sys.argv[1]), Path(sys.argv[2]))
    assert plan is not None
    for line in sys.stdin:
        part, number = json.loads(line)
        try:
            answer = {"done": chunk.process(plan, part, number).to_text()}
        except OSError as error:
            answer = {"failed": f"{error.strerror or error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
