"""Postal addresses of the United States.

From: the labelled training and test addresses of usaddress (MIT). Many are real addresses from public records.

Labelled: whole addresses with a house number and a street, or a post office box, in contexts written for this
evaluation. Left out: those with the name of a recipient, building or landmark, and intersections. Doubtful: those
without city, state, postal code and type of street.
"""

from __future__ import annotations

import random
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from contexts import Contexts
from records import Record, Suite
from source import Repository, Source

FILES = (
    ("training/labeled.xml", 70),
    ("measure_performance/test_data/labeled.xml", 40),
    ("training/us50_train_tagged.xml", 25),
    ("measure_performance/test_data/us50_test_tagged.xml", 25),
    ("training/us50_messiest_manual_label.xml", 20),
    ("measure_performance/test_data/synthetic_osm_data.xml", 12),
    ("training/multi_word_state_addresses.xml", 30),
    ("measure_performance/test_data/multi_word_state_addresses.xml", 5),
    ("measure_performance/test_data/simple_address_patterns.xml", 8),
)
LEFT_OUT = {"Recipient", "IntersectionSeparator", "NotAddress", "LandmarkName", "BuildingName"}
PLACE = {"PlaceName", "ZipCode", "StateName", "StreetNamePostType", "StreetNamePreType"}
BOXES_PER_FILE = 3
HARMLESS = (
    ("Corner of 5th and Main", True),
    ("My office is downtown, second floor on the left", False),
    ("Street sweeping is on Tuesdays", False),
    ("The avenue was closed for the parade", False),
    ("Drive safely on the highway", False),
    ("lot number 12 and block 4 of the plan", True),
    ("State law requires a permit", False),
    ("I have thought of many ways to finish that drive", False),
    ("Chicago, Illinois", True),
    ("Juneau, AK", True),
)


def addresses(path: Path) -> list[tuple[set[str], str]]:
    """The tags and the text of each address of a file."""
    if not path.exists():
        return []
    found = []
    for element in ElementTree.parse(path).getroot().iter("AddressString"):
        text = re.sub(r"\s+", " ", "".join(element.itertext())).replace(" ,", ",").strip(" ,")
        found.append(({part.tag for part in element}, text))
    return found


def build(directory: Path) -> list[Record]:
    suite = Suite("usaddress")
    contexts = Contexts()
    seen: set[str] = set()
    for name, limit in FILES:
        rows = addresses(directory / "usaddress" / name)
        random.Random(name).shuffle(rows)
        count = boxes = 0
        for tags, text in rows:
            if count == limit or LEFT_OUT & tags or len(text) < 8 or text in seen:
                continue
            box = "USPSBoxID" in tags and "StreetName" not in tags
            if not (box or {"AddressNumber", "StreetName"} <= tags) or (box and boxes == BOXES_PER_FILE):
                continue
            boxes += box
            seen.add(text)
            doubtful = not PLACE & tags
            if count % 12 == 11:
                count += suite.bare(text, "address", name, doubtful, limit)
            else:
                count += suite.place(contexts.pick("address", text), text, "address", name, doubtful, limit)
    for text, doubtful in HARMLESS:
        suite.harmless(text, "words of addresses", doubtful)
    return suite.finish()


SOURCE = Source(
    "usaddress",
    "personal",
    (
        Repository(
            "usaddress",
            "datamade/usaddress",
            "aa7699b53a0843fc443f9e87285b88cbd9eaf50a",
            "MIT",
            (*(f"/{name}" for name, _ in FILES), "/README.md"),
        ),
    ),
    build,
)
