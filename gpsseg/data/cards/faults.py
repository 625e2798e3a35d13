"""What is wrong with a data card, in words for its author."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from gpsseg.config.codes import parse_coding
from gpsseg.data.cards.allowed import READER, reads_files, steps_fault
from gpsseg.data.cards.patterns import long_name_fault, pattern_fault
from gpsseg.errors import few, name_text, shown, told

RULES = {"images", "masks", "masks_in", "annotator", "id", "ids"}
PARTS = ("all", "train", "val", "test")
TEXTS = (
    *("name", "title", "homepage", "licence", "citation", "folder", "foreground"),
    *("allows", "note", "get", "root"),
)
LONGEST_NAME = 100  # characters; a run's folder is named so
DEEPEST, MOST = 40, 100_000  # levels and values of a card


def plain(content: Any) -> Any:
    """What YAML holds as dict (with text keys), list, text, numbers and None; dates become text.

    Raises:
        ValueError: it holds anything else, or is endless; the text says what.
    """
    count = 0

    def copied(value: Any, depth: int) -> Any:
        nonlocal count
        count += 1
        if depth > DEEPEST or count > MOST:
            raise ValueError("is nested too deeply, holds itself, or has too many values")
        if isinstance(value, dict):
            return {_key(key): copied(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list):
            return [copied(each, depth + 1) for each in value]
        if isinstance(value, datetime.date):
            return value.isoformat()
        if value is None or isinstance(value, (str, bool, int, float)):
            return value
        raise ValueError(f"holds a {type(value).__name__}, expected text, numbers and lists")

    return copied(content, 0)


def _key(key: Any) -> str:
    if isinstance(key, datetime.date):
        return key.isoformat()
    if isinstance(key, (str, int, float)) and not isinstance(key, bool):
        return str(key)
    raise ValueError(f"has the key {shown(key)}, expected text (yes, no, on and off need quotes)")


def card_fault(content: Mapping[str, Any]) -> str:
    """Say what is wrong with what a card holds, or return ""."""
    return (
        _text_fault(content)
        or _splits_fault(content["splits"])
        or _transforms_fault(content["transforms"])
        or _group_fault(content.get("group"))
        or _class_fault(content)
        or _code_fault(content)
        or _source_fault(content)
    )


def _text_fault(content: Mapping[str, Any]) -> str:
    """Say which of the texts is none, or cannot name a folder."""
    for key in TEXTS:
        text = content.get(key, "")
        if not isinstance(text, str):
            return f"{key} is {told(text)}, expected text"
        if "\0" in text:
            return f"{key} holds a zero byte, expected text"
    name, folder = content["name"], content["folder"]
    if not name.strip(" .") or len(name) > LONGEST_NAME or re.search(r"[/\\\n\r\t]", name):
        return f"name is {shown(name)}, expected a short name without slashes: runs are named so"
    if folder.startswith(("/", "~")) or ".." in re.split(r"[/\\]", folder):
        return f"folder is {told(folder)}, expected the name of a folder; root says where it lies"
    if fault := long_name_fault(folder):
        return f"folder {fault}"
    if not isinstance(content.get("synthetic", {}), dict):
        return f"synthetic is {told(content['synthetic'])}, expected scene and names"
    return ""


def _transforms_fault(transforms: Any) -> str:
    """Say what is wrong with a card's lists of transforms, or return an empty string."""
    if not isinstance(transforms, dict) or "load" not in transforms:
        return "transforms holds the lists load and augment, or names a file of them"
    for stage, steps in transforms.items():
        if stage not in ("load", "augment"):
            return f"transforms has {told(stage)}, expected load and augment"
        if not isinstance(steps, list) and not (steps is None and stage == "augment"):
            return f"transforms, {told(stage)} is {told(steps)}, expected a list"
        if fault := steps_fault(steps or []):
            return f"transforms, {told(stage)}: {fault}"
    if not reads_files(transforms["load"]):
        return f"transforms, load lacks {READER}, which reads the files"
    return ""


def _splits_fault(splits: Any) -> str:
    """Say what is wrong with a card's splits, or return an empty string."""
    if splits and not isinstance(splits, list):
        return f"splits is {told(splits)}, expected a list"
    for split in splits or [None]:
        if fault := _split_fault(split):
            return fault
    return ""


def _split_fault(split: Any) -> str:
    """Say what is wrong with one entry of a card's splits, or return an empty string."""
    if not isinstance(split, dict) or not isinstance(split.get("name"), (str, int, float)):
        return "every split needs a name"
    split["name"] = str(split["name"])
    name = name_text(split["name"])
    parts = set(split) - {"name", "test_share", "file", "share_of"}
    if parts not in ({"all"}, {"train", "test"}, {"train", "val", "test"}, {"test"}):
        return f"split {name} has {few(sorted(parts))}, expected train, (val,) test; or all"
    if split.get("share_of", "images") not in ("images", "groups"):
        return f"split {name}: share_of is {told(split['share_of'])}, expected images or groups"
    share, file = split.get("test_share"), split.get("file")
    if file is None and ("all" in parts) != (isinstance(share, float) and 0 < share < 1):
        return f"split {name} needs test_share (such as 0.12) with all, and only then"
    if file is not None and (fault := _path_fault(file)):
        return f"file of split {name} {fault}"
    for part in parts:
        if fault := _rule_fault(split[part], f"{part} of split {name}"):
            return fault
    return ""


def _rule_fault(rule: Any, name: str) -> str:
    """Say what is wrong with the files of one part, or return an empty string."""
    if isinstance(rule, dict) and "table" in rule and set(rule) <= {"table", "part"}:
        if rule.get("part", "all") not in PARTS:
            return f"{name} names the part {told(rule['part'])}, expected one of {few(PARTS, 4)}"
        fault = _path_fault(rule["table"])
        return fault and f"table of {name} {fault}"
    masks = [key for key in ("masks", "masks_in") if isinstance(rule, dict) and key in rule]
    if len(masks) != 1 or "images" not in rule or set(rule) - RULES:
        return f"{name} needs images and masks (and may name ids)"
    patterns = rule.get("masks", {})
    if masks == ["masks"] and not patterns:
        return f"{name} needs masks: a pattern with {{id}} in it"
    for pattern in patterns.values() if isinstance(patterns, dict) else [patterns]:
        if "masks" in rule and (not isinstance(pattern, str) or "{id}" not in pattern):
            part = name.partition(" ")[0]
            return f"masks of {part} is {told(pattern)}, expected {{id}} in it: the image's name"
        if "masks" in rule and (fault := pattern_fault(pattern)):
            return f"masks of {name} {fault}"
    if fault := pattern_fault(rule["images"]):
        return f"images of {name} {fault}"
    if str(rule.get("masks_in", "")).startswith("/"):
        return f"masks_in of {name} is {told(rule['masks_in'])}, expected a folder below the set's"
    for key in ("masks_in", "id", "ids"):
        if key in rule and (fault := _path_fault(rule[key])):
            return f"{key} of {name} {fault}"
    annotator = rule.get("annotator")
    if annotator not in (None, "majority") and annotator not in [*patterns]:
        known = few([*patterns])
        return f"{name} names the annotator {told(annotator)}, expected majority or one of {known}"
    return ""


def _path_fault(path: Any) -> str:
    """Say why this is no path, or return an empty string."""
    if not isinstance(path, str) or not path or "\0" in path:
        return f"is {shown(path)}, expected text"
    return long_name_fault(path)


def _class_fault(content: Mapping[str, Any]) -> str:
    """Say what is wrong with a card's classes, or return an empty string."""
    classes = content.get("classes") or {}
    if not isinstance(classes, dict):
        return f"classes is {told(classes)}, expected names with a value or a colour each"
    values = list(classes.values())
    colours = [v for v in values if isinstance(v, list) and len(v) == 3]
    if len(colours) not in (0, len(values)):
        return "classes mixes values and colours, expected one kind"
    flat = [number for v in values for number in (v if isinstance(v, list) else [v])]
    if not all(_is_whole(number) and 0 <= number <= 65535 for number in flat):
        return f"classes holds {told(flat)}, expected whole numbers: a value, or [red, green, blue]"
    if any(isinstance(v, list) and len(v) not in (1, 3) for v in values):
        return f"classes holds {told(values)}, expected one number each, or [red, green, blue]"
    return ""


def _code_fault(content: Mapping[str, Any]) -> str:
    """Say what is wrong with the codes of a card's classes, or return an empty string."""
    found = content.get("codes") or {}
    if not isinstance(found, dict):
        return f"codes is {told(found)}, expected a class and its code each"
    known = [content["foreground"], *(content.get("classes") or {})]
    for name, text in found.items():
        if name not in known:
            return f"codes names {told(name)}, expected one of {few(known, 10)}"
        if not isinstance(text, str):
            return f"the code of {told(name)} is {told(text)}, expected SCHEME:VALUE:MEANING"
        try:
            parse_coding(text)
        except ValueError as error:
            return f"the code of {told(name)}: {error}"
    return ""


def _is_whole(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _group_fault(rule: Any) -> str:
    """Say what is wrong with a card's group rule, or return an empty string."""
    if rule is None:
        return ""
    keys = set(rule) if isinstance(rule, dict) else set()
    if keys == {"csv", "key", "value"}:
        for key in ("key", "value"):
            if not isinstance(rule[key], str):
                return f"group, {key} is {told(rule[key])}, expected the name of a column"
        fault = pattern_fault(rule["csv"])
        return fault and f"group, csv {fault}"
    if keys not in ({"id"}, {"id", "ranges"}):
        return f"group has {few(sorted(keys))}, expected id; id and ranges; or csv, key and value"
    try:
        brackets = re.compile(str(rule["id"])).groups
    except (re.error, OverflowError, RecursionError) as error:
        return f"group: {told(rule['id'])} is no regular expression ({told(str(error))})"
    if brackets != 1:
        return f"group: {told(rule['id'])} has {brackets} brackets, expected one: around the group"
    return _ranges_fault(rule["ranges"]) if "ranges" in rule else ""


def _ranges_fault(ranges: Any) -> str:
    pairs = ranges if isinstance(ranges, list) and ranges else [ranges]
    last = None
    for pair in pairs:
        whole = isinstance(pair, list) and len(pair) == 2 and all(map(_is_whole, pair))
        if not (whole and pair[0] <= pair[1]):
            return f"group: {told(pair)} is no range, expected [first, last]"
        if last is not None and pair[0] <= last:
            return f"group: the range {told(pair)} begins before the one ahead of it ends"
        last = pair[1]
    return ""


def _source_fault(content: Mapping[str, Any]) -> str:
    """Say what is wrong with a card's official files, or return an empty string."""
    sources = content.get("sources") or []
    if not isinstance(sources, list):
        return f"sources is {told(sources)}, expected a list"
    for source in sources:
        keys = set(source) if isinstance(source, dict) else set()
        url = told(source["url"]) if "url" in keys else ""
        if "url" not in keys or keys - {"url", "sha256", "bytes", "into"}:
            got = few(sorted(keys))
            return f"a source has {got}, expected url, and perhaps sha256, bytes and into"
        if not re.match(r"https?://[^\s\0]+$", str(source["url"])):
            return f"the source {url} is no address, expected https://..."
        if not re.fullmatch(r"[0-9a-f]{64}", str(source.get("sha256", "0" * 64))):
            return f"sha256 of {url} is {told(source['sha256'])}, expected 64 hex digits"
        size = source.get("bytes", 1)
        if not _is_whole(size) or size < 1:
            return f"bytes of {url} is {told(size)}, expected a whole number"
        into = source.get("into", ".")
        if not isinstance(into, str) or PurePosixPath(into) == PurePosixPath(
            PurePosixPath(urlsplit(str(source["url"])).path).name
        ):
            return f"into of {url} is {told(into)}, expected the name of a folder"
        if into.startswith(("/", "~")) or ".." in re.split(r"[/\\]", into) or "\0" in into:
            return f"into of {url} is {told(into)}, expected a folder below the set's"
    return ""
