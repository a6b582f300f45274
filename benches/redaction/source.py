"""A source of records: one or more public repositories at fixed commits, fetched with git."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from records import Record


@dataclass(frozen=True)
class Repository:
    """A repository on GitHub; only the files below `paths` (patterns of git's sparse checkout) are needed."""

    name: str
    owner_and_name: str
    commit: str
    licence: str
    paths: tuple[str, ...]

    @property
    def url(self) -> str:
        return f"https://github.com/{self.owner_and_name}"

    def fetch(self, directory: Path) -> None:
        """Checks the commit out into directory/name unless something is there already."""
        target = directory / self.name
        if target.exists():
            return
        print(f"fetching {self.url} at {self.commit[:12]}", file=sys.stderr)
        part = directory / (self.name + ".part")
        part.mkdir(parents=True, exist_ok=True)
        for arguments in (
            ("init", "--quiet"),
            ("sparse-checkout", "set", "--no-cone", *self.paths),
            ("fetch", "--quiet", "--depth", "1", "--filter=blob:none", self.url, self.commit),
            # Without a configured remote, git would not know where to get the missing files.
            ("config", "remote.origin.url", self.url),
            ("config", "remote.origin.promisor", "true"),
            ("config", "remote.origin.partialclonefilter", "blob:none"),
            ("checkout", "--quiet", "FETCH_HEAD"),
        ):
            command = ("git", "-C", str(part), "-c", "core.autocrlf=false", *arguments)
            if subprocess.run(command, check=False).returncode:
                sys.exit(f"cannot fetch {self.url}: git {arguments[0]} failed\n  hint: put a checkout into {target}")
        part.rename(target)


@dataclass(frozen=True)
class Source:
    """`build` reads the repositories below a directory and returns the records."""

    name: str
    group: str
    repositories: tuple[Repository, ...]
    build: Callable[[Path], list[Record]]
