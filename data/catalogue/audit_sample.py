"""Prints a seeded sample of class and code rows for a review by hand: `audit_sample.py CACHE OUT SEED [classes] [codes]`."""

import json
import pathlib
import random
import sys


def main():
    cache, out, seed = pathlib.Path(sys.argv[1]).expanduser(), pathlib.Path(sys.argv[2]), int(sys.argv[3])
    n_classes, n_codes = (int(a) for a in (sys.argv[4:] + ["130", "70"])[:2])
    about = {}
    for line in (out / "corpus-js.jsonl").read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        about.setdefault((one["package"].split(":")[-1], one["class"]), (one["docstring"], one["template"]))
    docs = {}
    npm = json.loads((cache / "npm-raw.json").read_text(encoding="utf-8"))
    for package, said in npm.items():
        for name, one in said["found"].items():
            for key in {name, one["runtime"] or name}:
                docs[(package, key)] = (one["doc"], (one["messages"] or [""])[0])
    crates = json.loads((cache / "crates-raw.json").read_text(encoding="utf-8"))
    for crate, found in crates.items():
        for name, one in found.items():
            path = f"{crate.replace('-', '_')}::{name}"
            docs[(crate, path)] = (one["doc"], (one["messages"] or [""])[0])
            for variant, v in one["variants"].items():
                docs[(crate, f"{path}::{variant}")] = (v["doc"], v["message"])
    rows = [line.split("\t") for line in (out / "classes-js.tsv").read_text(encoding="utf-8").splitlines()]
    by = {}
    for name, package, base, _status, condition in rows:
        by.setdefault(name, []).append((package, base, condition))

    def effective(name, package, depth=0):
        for own, base, condition in sorted(by.get(name, []), key=lambda r: r[0] != package):
            if condition:
                return condition
            return effective(base, package, depth + 1) if base and depth < 8 else "(none)"
        return "(none)"

    rng = random.Random(seed)
    for i, (name, package, base, status, condition) in enumerate(rng.sample(rows, min(n_classes, len(rows)))):
        key = (package.split(":", 1)[-1], name)
        doc, message = docs.get(key) or about.get(key) or ("", "")
        said = condition or f"[{effective(name, package)}]"
        print(f"{i} {name} | {package} <{base} {status} => {said} | {' '.join(doc.split())[:110]} | {message[:70]}")
    codes = [line.split("\t") for line in (out / "codes.tsv").read_text(encoding="utf-8").splitlines()]
    for i, (code, origin, status, condition) in enumerate(rng.sample(codes, min(n_codes, len(codes)))):
        print(f"c{i} {code} | {origin} {status} => {condition}")


if __name__ == "__main__":
    main()
