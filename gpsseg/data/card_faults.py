"""What is wrong with a data card, in words for its author."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

RULES = {"images", "masks", "masks_in", "annotator", "id", "ids"}


def card_fault(content: Mapping[str, Any]) -> str:
    """Say what is wrong with a card's splits, groups, classes or transforms, or return ""."""
    for split in content["splits"] or [None]:
        if fault := _split_fault(split):
            return fault
    if not isinstance(content["transforms"], dict):
        return "transforms holds the lists load and augment, or names a file of them"
    return _group_fault(content.get("group")) or _class_fault(content) or _source_fault(content)


def _split_fault(split: Any) -> str:
    """Say what is wrong with one entry of a card's splits, or return an empty string."""
    if not isinstance(split, dict) or "name" not in split:
        return "every split needs a name"
    parts = set(split) - {"name", "test_share", "file", "share_of"}
    if parts not in ({"all"}, {"train", "test"}, {"train", "val", "test"}, {"test"}):
        return f"split {split['name']} has {sorted(parts)}, expected train, (val,) test; or all"
    if split.get("share_of", "images") not in ("images", "groups"):
        return f"split {split['name']} has share_of {split['share_of']}, expected images or groups"
    share, file = split.get("test_share"), split.get("file")
    if file is None and ("all" in parts) != (isinstance(share, float) and 0 < share < 1):
        return f"split {split['name']} needs test_share (such as 0.12) with all, and only then"
    for part in parts:
        if fault := _rule_fault(split[part], f"{part} of split {split['name']}"):
            return fault
    return ""


def _rule_fault(rule: Any, name: str) -> str:
    """Say what is wrong with the files of one part, or return an empty string."""
    if isinstance(rule, dict) and "table" in rule and set(rule) <= {"table", "part"}:
        return ""
    masks = [key for key in ("masks", "masks_in") if isinstance(rule, dict) and key in rule]
    if len(masks) != 1 or "images" not in rule or set(rule) - RULES:
        return f"{name} needs images and masks (and may name ids)"
    patterns = rule.get("masks", {})
    for pattern in patterns.values() if isinstance(patterns, dict) else [patterns]:
        if "{id}" not in str(pattern):
            part = name.partition(" ")[0]
            return f"masks of {part} is {pattern}, expected {{id}} in it: the image's name"
    annotator = rule.get("annotator")
    if annotator not in (None, "majority") and annotator not in patterns:
        return f"{name} names the annotator {annotator}, expected majority or one of {[*patterns]}"
    return ""


def _class_fault(content: Mapping[str, Any]) -> str:
    """Say what is wrong with a card's classes, or return an empty string."""
    classes = content.get("classes") or {}
    if not isinstance(classes, dict):
        return f"classes is {classes}, expected names with a value or a colour each"
    values = list(classes.values())
    colours = [v for v in values if isinstance(v, list) and len(v) == 3]
    if len(colours) not in (0, len(values)):
        return "classes mixes values and colours, expected one kind"
    flat = [number for v in values for number in (v if isinstance(v, list) else [v])]
    if not all(isinstance(number, int) and 0 <= number <= 65535 for number in flat):
        return f"classes holds {flat}, expected whole numbers: a value, or [red, green, blue]"
    return ""


def _group_fault(rule: Any) -> str:
    """Say what is wrong with a card's group rule, or return an empty string."""
    if rule is None:
        return ""
    keys = set(rule) if isinstance(rule, dict) else set()
    if keys == {"csv", "key", "value"}:
        return ""
    if keys not in ({"id"}, {"id", "ranges"}):
        return f"group has {sorted(keys)}, expected id; id and ranges; or csv, key and value"
    try:
        brackets = re.compile(str(rule["id"])).groups
    except re.error as error:
        return f"group: {rule['id']} is no regular expression ({error})"
    if brackets != 1:
        return f"group: {rule['id']} has {brackets} brackets, expected one: around the group"
    return _ranges_fault(rule["ranges"]) if "ranges" in rule else ""


def _ranges_fault(ranges: Any) -> str:
    pairs = ranges if isinstance(ranges, list) else [None]
    last = None
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2 and pair[0] <= pair[1]):
            return f"group: {pair} is no range, expected [first, last]"
        if last is not None and pair[0] <= last:
            return f"group: the range {pair} begins before the one ahead of it ends"
        last = pair[1]
    return ""


def _source_fault(content: Mapping[str, Any]) -> str:
    """Say what is wrong with a card's official files, or return an empty string."""
    for source in content.get("sources") or []:
        keys = set(source) if isinstance(source, dict) else set()
        if "url" not in keys or keys - {"url", "sha256", "bytes", "into"}:
            return f"a source has {sorted(keys)}, expected url, and perhaps sha256, bytes and into"
        if not re.match(r"https?://", str(source["url"])):
            return f"the source {source['url']} is no address, expected https://..."
        if not re.fullmatch(r"[0-9a-f]{64}", str(source.get("sha256", "0" * 64))):
            return f"sha256 of {source['url']} is {source['sha256']}, expected 64 hex digits"
        into = str(source.get("into", "."))
        if into.startswith("/") or ".." in into.split("/"):
            return f"into of {source['url']} is {into}, expected a folder below the set's"
    return ""
