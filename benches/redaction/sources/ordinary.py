"""Ordinary texts without anything personal or secret: what redaction should leave alone.

From: paragraphs of the documentation and the code of Presidio, schwifty, validator.js, usaddress and libpostal (all
MIT), and texts written for this evaluation: product texts, logs, traces, code, chat.

Not labelled: everything. Paragraphs with digits in the form of a phone number, addresses, e-mail addresses, or words
that are first or last names in the labelled names of probablepeople are left out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

from records import Record, Suite
from source import Source
from sources import libpostal, names, presidio, schwifty, usaddress, validators

# Files, and how many of their paragraphs are used.
FILES: tuple[tuple[str, int], ...] = (
    ("schwifty/CHANGELOG.rst", 9),
    ("presidio/docs/analyzer/decision_process.md", 4),
    ("presidio/docs/installation.md", 6),
    ("presidio/docs/design.md", 3),
    ("presidio/docs/development.md", 9),
    ("presidio/docs/analyzer/developing_recognizers.md", 6),
    ("validator.js/README.md", 6),
    ("usaddress/README.md", 3),
    ("libpostal/README.md", 12),
    ("presidio/presidio-analyzer/presidio_analyzer/pattern.py", 3),
    ("presidio/presidio-analyzer/presidio_analyzer/recognizer_result.py", 3),
    ("presidio/presidio-analyzer/presidio_analyzer/entity_recognizer.py", 3),
    ("presidio/presidio-analyzer/presidio_analyzer/batch_analyzer_engine.py", 3),
    ("validator.js/src/lib/isLuhnNumber.js", 3),
    ("validator.js/src/lib/isURL.js", 3),
    ("validator.js/src/lib/isFQDN.js", 3),
    ("validator.js/src/lib/isByteLength.js", 3),
    ("schwifty/schwifty/iban.py", 3),
    ("schwifty/schwifty/bban.py", 3),
    ("schwifty/schwifty/common.py", 3),
)
SENSITIVE = re.compile(
    r"@|\b\d{2,5} [NSEW]?\.? ?[A-Z][a-z]+ (?:St|Ave|Rd|Blvd|Main)|Main St|[A-Z]{2}\d{2}[ A-Z0-9]{10,}|\+\d[\d ()-]{6,}"
    r"|\(\d{3}\)|\d{2} \d{3,4} \d{3,4}|[Ss]ponsor|badge|\d{3}[-. ]\d{3,}|\d{7,}|\b\d{1,3}(?:\.\d{1,3}){3}\b|[Tt]hank"
    r"|[Cc]ontribut|[Cc]redit|\bby [A-Z]|Mr\.|Dr\.|[A-Fa-f0-9]{2}(?::[A-Fa-f0-9]{2}){3}|[Cc]opyright"
    r"|[A-Z][a-z]+ [A-Z]\. [A-Z]|(?i:\brue\b|\bssn\b|passport number|street\b|avenue|birth)|/home/|/Users/|password"
    r"|secret|token=|api[_-]?key"
)
# Words that are also names but usually are not.
COMMON = set(
    "May Will Mark Price Page Case Good Long Field Small Best Black White Brown Green West North Park Cross Key Stone"
    " French English German Hall Day Bill Art Rich Lane First Last Do Li Lee King Short Web Set Call Cook Wise Fields"
    " Rose Marks Young Given Street Use Many Ray Man Ann Son See Else Post Hand Self Way Le La De In An For And The"
    " Grant Read Sample Note Type Input Test Base Match Frank Washington York Virginia England".split()
)
SIZE = (180, 900)
TEXTS: tuple[str, ...] = (
    (
        "Stainless steel kettle, 1.7 litres, 2200 W. Boils one litre in under four minutes, switches off by "
        "itself, with a washable limescale filter. Cord 75 cm. Colour: brushed steel. Warranty 24 months. EAN on "
        "the box."
    ),
    (
        "Trail shoe for wet ground: 6 mm lugs, a rock plate and a drain mesh. Weight 290 g (size 42). Drop 8 mm. "
        "Runs half a size small."
    ),
    (
        "Cordless drill 18 V, two speeds, 13 mm keyless chuck, 55 Nm. Includes two 2.0 Ah batteries and a charger. "
        "Noise 79 dB(A)."
    ),
    (
        "Organic rolled oats, 500 g. Ingredients: whole grain oats. Per 100 g: energy 1563 kJ, fat 7.0 g, "
        "carbohydrate 58.7 g, fibre 10 g, protein 13.5 g, salt 0.01 g."
    ),
    (
        "27-inch monitor, 2560 x 1440, 144 Hz, 1 ms, HDR10. Ports: 2x HDMI 2.0, 1x DisplayPort 1.4, USB-C with 65 "
        "W. VESA 100 x 100."
    ),
    (
        "Wall paint, matt white, 10 l for about 70 square metres. Dry after 2 hours, second coat after 6 hours. "
        "Clean the tools with water."
    ),
    (
        "Cotton duvet cover 135 x 200 cm with pillowcase 80 x 80 cm, 144 threads per inch, washable at 60 degrees, "
        "buttons made of shell."
    ),
    "SKU 4471-22-B: replacement seal kit for pump series P300, contains O-rings 12x2, 18x2.5 and 34x3, NBR 70 Shore A.",
    "Solar lamp for the garden, IP65, 120 lumens, lights for 8 hours when fully charged, motion sensor 5 m. Set of 4.",
    (
        "Espresso beans, dark roast, 1 kg. Notes of cocoa and hazelnut. Grind size 2-3 on most machines, 18 g in, "
        "36 g out, 27 seconds."
    ),
    (
        "Deployment 2025.06.3 finished in 184 s: 12 pods updated, 0 restarted, 3 config maps unchanged. Next "
        "window: Tuesday 02:00 UTC."
    ),
    (
        "The nightly job read 1,204,331 rows from orders_2024 and wrote 1,204,118; 213 rows were rejected because "
        "total_cents was negative."
    ),
    (
        "Step 4 of 7: run the migration with `alembic upgrade head`. If it stops at revision 3f2a9c1d7e40, drop "
        "the index first and run it again."
    ),
    (
        "SELECT date_trunc('week', shipped_at) AS week, count(*) FROM shipments WHERE status = 'late' GROUP BY 1 "
        "ORDER BY 1 DESC LIMIT 20;"
    ),
    "ERROR 1062 (23000) at line 88: Duplicate entry '2024-12-31-EU' for key 'daily_totals.PRIMARY'",
    (
        "npm ERR! code ERESOLVE\nnpm ERR! Found: react@18.2.0\nnpm ERR! Could not resolve dependency: peer "
        'react@"^17.0.0" from react-dates@21.8.0'
    ),
    (
        "error[E0502]: cannot borrow `items` as mutable because it is also borrowed as immutable\n  --> "
        "src/queue.rs:41:9\n   |\n39 |     let first = &items[0];\n   |                  ----- immutable borrow "
        "occurs here"
    ),
    (
        "warning: unused variable: `retries`\n  --> crates/agent/src/loop.rs:118:13\n   = note: "
        "`#[warn(unused_variables)]` on by default"
    ),
    "trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7 name=tool.call duration_ms=812 status=OK",
    '{"model":"gpt-test","usage":{"prompt_tokens":1873,"completion_tokens":214,"total_tokens":2087},"finish_reason":"stop"}',
    '{"tool":"search_flights","arguments":{"from":"LIS","to":"OSL","date":"2025-09-14","adults":2}}',
    '{"order_id":"A-2025-118834","items":[{"sku":"KB-104-DE","qty":1,"price":59.9},{"sku":"MS-22","qty":2,"price":18.5}],"total":96.9,"currency":"EUR"}',
    (
        "Your order 118834 has left the warehouse. It should arrive within three working days. You can follow it "
        "with the number on the packing slip."
    ),
    "Assistant: The capital of Mongolia is Ulaanbaatar. It lies at about 1,300 m and has cold, dry winters.",
    (
        "Assistant: I compared the three plans. The second one is cheapest above 40 GB a month; below that the "
        "first one is better."
    ),
    (
        "User: rewrite the paragraph in plain English and keep it under 80 words. Assistant: Sure, here is a "
        "shorter version."
    ),
    (
        "The meeting agreed on four points: the release moves to the first week of October, the old endpoint stays "
        "for six months, logs are kept for 30 days, and the price list is frozen."
    ),
    (
        "In 2019 the museum had 412,000 visitors, in 2020 only 96,500, and in 2023 again 388,000. The target for "
        "2026 is 450,000."
    ),
    (
        "Mix 250 g flour, 150 ml warm water, 5 g salt and 3 g yeast. Leave it for 90 minutes, fold it twice, and "
        "bake at 240 degrees for 25 minutes."
    ),
    (
        "Kapitel 3: Die Pumpe darf nur im Stillstand geöffnet werden. Vor dem Ausbau den Druck ablassen und die "
        "Leitung spülen."
    ),
    (
        "Le produit est livré sans piles. Ne pas laver au lave-vaisselle. Tenir hors de portée des enfants de "
        "moins de 3 ans."
    ),
    "El paquete incluye cable USB, manual en cinco idiomas y dos años de garantía. No sumergir en agua.",
    "製品を使用する前に、必ず取扱説明書をお読みください。水に濡らさないでください。",
    "版本 2.4.1：修复了导出报表时的乱码问题，优化了搜索速度，新增深色模式。",
    "Версия 3.2: исправлена ошибка при экспорте отчётов, ускорен поиск, добавлена тёмная тема.",
    "O relatório mostra um aumento de 12% nas vendas do segundo trimestre, sobretudo nas regiões do norte.",
    (
        "Error: listen EADDRINUSE: address already in use :::8080\n    at Server.setupListenHandle [as _listen2] "
        "(node:net:1463:16)\n    at listenInCluster (node:net:1511:12)"
    ),
    (
        'java.lang.NullPointerException: Cannot invoke "java.util.List.size()" because "rows" is null\n\tat '
        "com.example.report.Builder.render(Builder.java:88)\n\tat com.example.report.Main.main(Main.java:21)"
    ),
    (
        "panic: runtime error: index out of range [3] with length 3\n\ngoroutine 1 [running]:\nmain.sum(...)\n\t"
        "/app/main.go:14\nmain.main()\n\t/app/main.go:21 +0x1d"
    ),
    (
        "diff --git a/src/cache.ts b/src/cache.ts\nindex 3b18e51..a9c0f44 100644\n--- a/src/cache.ts\n+++ "
        "b/src/cache.ts\n@@ -12,7 +12,7 @@\n-const TTL = 60_000;\n+const TTL = 300_000;"
    ),
)


def paragraphs(path: Path) -> Iterator[str]:
    """The paragraphs of a file, joined until they are long enough."""
    joined = ""
    for part in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
        joined = f"{joined}\n\n{part}" if joined else part
        if len(joined) >= SIZE[0]:
            if len(joined) <= SIZE[1]:
                yield joined.strip("\n")
            joined = ""


def build(directory: Path) -> list[Record]:
    suite = Suite("ordinary", harmless_limit=200)
    person = names.words_of_names(directory) - {word.upper() for word in COMMON}
    for name, limit in FILES:
        path = directory / name
        if not path.exists():
            continue
        usable = [
            text
            for text in paragraphs(path)
            if not SENSITIVE.search(text) and not any(w.upper() in person for w in re.findall(r"[A-Z][a-z]+", text))
        ]
        random.Random(name).shuffle(usable)
        for text in usable[:limit]:
            suite.harmless(text, name)
    for text in TEXTS:
        suite.harmless(text, "written for this evaluation")
    return suite.finish()


SOURCE = Source(
    "ordinary",
    "personal",
    (
        *presidio.SOURCE.repositories,
        *schwifty.SOURCE.repositories,
        *validators.SOURCE.repositories,
        *usaddress.SOURCE.repositories,
        *libpostal.SOURCE.repositories,
        names.PROBABLEPEOPLE,
    ),
    build,
)
