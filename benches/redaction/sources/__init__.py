"""The sources of the evaluation, in the order of the table."""

from __future__ import annotations

from source import Source
from sources import (
    agents,
    credsweeper,
    detect_secrets,
    gitleaks,
    libpostal,
    names,
    ordinary,
    phonenumbers,
    presidio,
    rule_files,
    schwifty,
    scrubadub,
    secretlint,
    stdnum,
    trufflehog,
    usaddress,
    validators,
)

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        gitleaks.SOURCE,
        trufflehog.SOURCE,
        rule_files.KINGFISHER,
        rule_files.NOSEYPARKER,
        detect_secrets.SOURCE,
        secretlint.SOURCE,
        credsweeper.SOURCE,
        presidio.SOURCE,
        stdnum.SOURCE,
        phonenumbers.SOURCE,
        schwifty.SOURCE,
        usaddress.SOURCE,
        libpostal.SOURCE,
        names.SOURCE,
        scrubadub.SOURCE,
        validators.SOURCE,
        ordinary.SOURCE,
        *agents.SOURCES,
    )
}
