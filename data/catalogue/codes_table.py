"""Reads the hand-written tables of codes below codes/ and writes rows `code, origin, status, condition`."""

import pathlib
import tomllib

import derive

HERE = pathlib.Path(__file__).parent / "codes"


def tables():
    """Rows of all tables, with the file that they come from. A code may have one meaning per origin."""
    seen = {}
    for path in sorted(HERE.glob("*.toml")):
        if path.name.startswith("classes"):
            continue
        for table in tomllib.loads(path.read_text(encoding="utf-8"))["table"]:
            origin = table["origin"]
            for line in table["codes"].strip().splitlines():
                head, _, rest = line.partition(":")
                words = head.split()
                condition, default = words[0], words[1] if len(words) > 1 else ""
                if condition not in derive.CONDITIONS:
                    raise SystemExit(f"{path.name}: unknown condition in {line!r}")
                for item in rest.split():
                    code, sep, status = item.rpartition("=")
                    if not sep or not status.isdigit():
                        code, status = item, default
                    code = code.replace("~", " ")
                    if origin == "http":
                        status = code
                    row = (code, origin, status, condition)
                    other = seen.get((code, origin))
                    if other and other[3] != condition:
                        raise SystemExit(f"{path.name}: {code} of {origin} is {other[3]} and {condition}")
                    seen[(code, origin)] = row
    return sorted(seen.values())
