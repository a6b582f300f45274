"""Merges the harvests into the tables that failsift embeds, and checks the committed ones.

    python3 data/catalogue/build.py             # merges ~/.cache/failsift-catalogue/harvest/{classes,codes}*.tsv
    python3 data/catalogue/build.py --check     # verifies src/analyze/embedded/catalogue/*.tsv; needs no harvest

Of rows with the same name and package, the one of the file that sorts first wins, and one with a condition over one without. The result
depends on nothing but the rows of the harvests.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import derive
from harvest_python import CACHE, HERE

TABLES = HERE.parent.parent / "src" / "analyze" / "embedded" / "catalogue"
PACKAGE = re.compile(r"(?:pypi|npm|crates|maven|nuget|go|gem|composer|builtin):[\w@./:+-]+")
ORIGIN = re.compile(r"[a-z][a-z0-9]*(?::[\w@./-]+)?")
LIMIT = 20_000

# What a row with a status of its own may mean beside the condition that the status itself stands for. `exception` contradicts nothing.
# A 403 also refuses quotas and credentials (Google, AWS), a 429 is also what a full server answers, a 422 is any refusal of a form.
ALSO = {
    400: None, 402: {"invalid_request"}, 422: None, 424: None, 500: {"connection_failed", "timeout", "resource_exhausted", "run_cancelled", "misconfiguration"},
    403: {"guardrail_blocked", "safety_filter", "quota_exhausted", "rate_limited", "authentication_failed"},
    404: {"model_not_found", "unknown_tool", "unsupported", "misconfiguration"},
    408: {"run_cancelled"}, 409: {"unsupported", "misconfiguration", "invalid_request", "run_cancelled", "quota_exhausted"},
    410: {"model_not_found", "unsupported"}, 412: {"control_flow", "invalid_request"}, 413: {"context_window_exceeded", "quota_exhausted"},
    429: {"quota_exhausted", "overloaded", "resource_exhausted", "token_budget_exhausted"},
    502: {"connection_failed", "timeout"}, 503: {"connection_failed", "rate_limited", "timeout"}, 504: {"overloaded", "connection_failed"},
    505: {"unsupported"}, 529: {"rate_limited"},
}  # fmt: skip
# Services that answer with another status than the rest of the field: (name, package or origin), with the reason.
KNOWN_STATUS = {
    ("account_deactivated", "api:openai"): "a deactivated account, answered with 401",
    ("InvalidAccountStatus", "api:volcengine"): "an account that is closed or disabled, answered with 401",
    ("ACCOUNT_STATE_INVALID", "gcp"): "a disabled account, answered with 401",
    ("USER_DEACTIVATED", "saas:telegram"): "a deleted account, answered with 401",
    ("USER_DEACTIVATED_BAN", "saas:telegram"): "a banned account, answered with 401",
    ("auth/user-disabled", "saas:firebase"): "a disabled account, answered with 401",
    ("ip_not_authorized", "api:openai"): "an address that is not on the list, answered with 401",
    ("detected_unusual_activity", "api:elevenlabs"): "401 for a free account that is blocked",
    ("quota_exceeded", "api:elevenlabs"): "401 for spent credits",
    ("1112", "api:zhipu"): "a locked account, answered with 401",
    ("1120", "api:zhipu"): "an account without access, answered with 401",
    ("ModelNotOpen", "api:volcengine"): "404 for a model that the account has not activated",
    ("InvalidObjectState", "aws"): "403 for an archived object",
    ("InvalidObjectState", "aws:s3"): "403 for an archived object",
    ("ObjectAlreadyInActiveTierError", "aws"): "403 for the wrong storage tier",
    ("ObjectAlreadyInActiveTierError", "aws:s3"): "403 for the wrong storage tier",
    ("InsufficientDBClusterCapacityFault", "aws:rds"): "403 for lack of capacity",
    ("ReservedDBInstanceAlreadyExists", "aws:rds"): "the service model says 404",
    ("ReservedDBInstanceAlreadyExistsFault", "aws:rds"): "the service model says 404",
    ("ReportInProgress", "aws:iam"): "the service model says 404",
    ("SkuNotAvailable", "azure"): "409 for lack of capacity",
    ("fullSyncRequired", "gcp"): "410 for a sync token that is too old",
    ("responseTooLarge", "gcp"): "403 for a result that is too large",
    ("authlib.oauth2.rfc6749.errors.ForbiddenError", "pypi:authlib"): "the package's default is 401",
    ("e2b.exceptions.GuestUnresponsiveException", "pypi:e2b"): "409 for a machine that does not answer",
    ("litellm.proxy.mcp_server.exceptions.MCPServerURLCredentialsError", "pypi:litellm"): "500 for the gateway's own credentials",
    ("supabase_auth.errors.AuthImplicitGrantRedirectError", "pypi:supabase-auth"): "a failed login, 500 by default",
    ("tornado.simple_httpclient.HTTPStreamClosedError", "pypi:tornado"): "599 for any failure of the client",
    ("AUTH_KEY_DUPLICATED", "saas:telegram"): "406 for a key that is in use elsewhere",
    ("PGRST116", "saas:supabase"): "406 for a single row that is not there",
    ("capacity_exceeded", "api:groq"): "498 for lack of capacity",
}  # fmt: skip
# Lambda reports what it meets when it sets a function up (network interfaces, images, keys) with a 502.
KNOWN_STATUS_OF_ORIGIN = {("502", "aws:lambda")}

HEADERS = {
    "classes": "# Error classes: qualified name, package, base, HTTP status, condition. Built by data/catalogue/build.py.\n",
    "codes": "# Error codes: code, origin, HTTP status, condition. Built by data/catalogue/build.py.\n",
}


def read(path: Path) -> list[tuple[str, ...]]:
    """The rows of a table without its comments."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [tuple(line.split("\t")) for line in lines if line and not line.startswith("#")]


def problems_of(kind: str, rows: list[tuple[str, ...]], name: str) -> list[str]:
    """What is wrong with the rows of a table, in words."""
    wrong = []
    columns = 5 if kind == "classes" else 4
    for number, row in enumerate(rows, 1):
        where = f"{name} row {number} ({row[0]})"
        if len(row) != columns:
            wrong.append(f"{where}: {len(row)} columns instead of {columns}")
            continue
        if not row[0] or any(field != field.strip() or re.search(r"[\x00-\x1f]", field) for field in row):
            wrong.append(f"{where}: an empty name, or space around a field")
        if not (PACKAGE if kind == "classes" else ORIGIN).fullmatch(row[1]):
            wrong.append(f"{where}: {row[1]!r} is no {'package' if kind == 'classes' else 'origin'}")
        if row[-2] and not re.fullmatch(r"[1-9]\d\d", row[-2]):
            wrong.append(f"{where}: {row[-2]!r} is no HTTP status")
        if row[-1] and row[-1] not in derive.CONDITIONS:
            wrong.append(f"{where}: {row[-1]!r} is no condition")
        if kind == "codes" and not row[-1]:
            wrong.append(f"{where}: a code without a condition says nothing")
        if kind == "classes" and row[2] == row[0]:
            wrong.append(f"{where}: its own base")
    return wrong


def contradictions_of(rows: list[tuple[str, ...]], name: str) -> list[str]:
    """Rows whose own status says something else than their condition."""
    wrong = []
    for row in rows:
        status, condition = row[-2], row[-1]
        if not status or condition in ("", "exception") or row[:2] in KNOWN_STATUS or (status, row[1]) in KNOWN_STATUS_OF_ORIGIN:
            continue
        # The table of statuses, and statuses that only one service uses, explain themselves.
        says, also = derive.HTTP_STATUS.get(int(status)), ALSO.get(int(status), set())
        if row[1] != "http" and says and says != "exception" and also is not None and condition != says and condition not in also:
            wrong.append(f"{name}: {row[0]} of {row[1]} has status {status} ({says}) and condition {condition}")
    return wrong


def order_of(rows: list[tuple[str, ...]], name: str) -> list[str]:
    """Whether the rows are sorted by the first two columns and unique in them."""
    keys = [row[:2] for row in rows]
    wrong = [f"{name}: {a} stands before {b}" for a, b in zip(keys, keys[1:]) if a > b]
    return wrong + [f"{name}: {a} occurs twice" for a, b in zip(keys, keys[1:]) if a == b]


def cycles_of(rows: list[tuple[str, ...]]) -> list[str]:
    """Classes whose chain of bases comes back to itself."""
    base = {row[0]: row[2] for row in rows if len(row) == 5}
    wrong = []
    for start in base:
        seen, current = {start}, base[start]
        while current in base and len(seen) < 40:
            if current in seen:
                wrong.append(f"classes: the bases of {start} form a cycle")
                break
            seen.add(current)
            current = base[current]
    return wrong


def without_cycles(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The rows with the base removed where a name of another package closes a cycle."""
    looping = {problem.split(" of ")[1].split(" form")[0] for problem in cycles_of(rows)}
    return [(*row[:2], "", *row[3:]) if row[0] in looping else row for row in rows]


def merge(kind: str, files: list[Path]) -> list[tuple[str, ...]]:
    merged: dict[tuple[str, str], tuple[str, ...]] = {}
    for path in files:
        for row in read(path):
            known = merged.get(row[:2])
            if known is None or (not known[-1] and row[-1]):
                merged[row[:2]] = row
    rows = [merged[key] for key in sorted(merged)]
    return without_cycles(rows) if kind == "classes" else rows


def check() -> list[str]:
    wrong = derive.check()
    for kind in HEADERS:
        path = TABLES / f"{kind}.tsv"
        rows = read(path)
        wrong += problems_of(kind, rows, path.name) + order_of(rows, path.name) + contradictions_of(rows, path.name)
        if len(rows) > LIMIT:
            wrong.append(f"{path.name}: {len(rows)} rows")
        if kind == "classes":
            wrong += cycles_of(rows)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="verify the committed tables and stop")
    parser.add_argument("--harvest", type=Path, default=CACHE / "harvest", help="folder of the harvests' tables")
    arguments = parser.parse_args()
    if not arguments.check:
        TABLES.mkdir(parents=True, exist_ok=True)
        for kind, header in HEADERS.items():
            files = sorted(arguments.harvest.glob(f"{kind}*.tsv"))
            if not files:
                print(f"no {kind}*.tsv in {arguments.harvest}", file=sys.stderr)
                return 1
            rows = merge(kind, files)
            text = header + "".join("\t".join(row) + "\n" for row in rows)
            (TABLES / f"{kind}.tsv").write_text(text, encoding="utf-8")
            print(f"{kind}: {len(rows)} rows of {', '.join(path.name for path in files)}")
    problems = check()
    for problem in problems[:50]:
        print(problem, file=sys.stderr)
    print(f"{len(problems)} problems" if problems else "tables are sorted, unique, and use known words")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
