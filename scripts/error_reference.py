"""docs/errors.md from the one error tree.

    python scripts/error_reference.py [--check]

Writes the page, or with --check says whether it is as it would be written (exit 1 when not).
"""

from __future__ import annotations

import argparse
import sys
from http import HTTPStatus
from itertools import groupby
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from backend.api.errors import PREFIX, reference  # noqa: E402

PAGE = REPOSITORY / "docs" / "errors.md"
HEAD = f"""\
# Problems by type

Written by `scripts/error_reference.py` from `backend/errors.py`: do not edit. An error of the API
is `application/problem+json` (RFC 9457); its `type` is `{PREFIX}<code>`. A code, once here, keeps
its meaning and its status; new ones may come, and a client that does not know one goes by the
status. `values` holds the facts behind a problem, `errors` the fields that break a rule.

**Again?** 409 `index-behind` and `market-behind`, 429 and 503 carry `Retry-After`: nothing was
done, send it again then. 504 `outcome-unknown`: send the same again, it cannot be done twice.
Everything else says the same the next time. Failures of the service (500 and above) keep their
values to themselves; the log has them under `X-Request-Id`.
"""


def page() -> str:
    """The whole page."""
    listed = sorted((status, code, meaning) for code, (status, meaning) in reference().items())
    lines = [HEAD]
    for status, found in groupby(listed, key=lambda one: one[0]):
        lines += [f"## {status} {HTTPStatus(status).phrase}", "", "| Code | Meaning |", "|---|---|"]
        lines += [f"| `{code}` | {meaning.rstrip('.')} |" for _, code, meaning in found]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Exit 1 with --check when the page is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        return int(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
