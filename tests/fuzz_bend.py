"""Bend what a valid file holds: JSON, YAML and CSV by their structure, else byte by byte."""

import copy
import json
from random import Random

DEEP, MOST = 400, 3000
NUMBERS = [
    *(0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.5, 1e308, 1e-320),
    *(float("nan"), float("inf"), float("-inf")),
]
TEXTS = [
    *("", " ", ".", "..", "/", "../../x", "/etc/passwd", "~nobody", "a\0b", "a\nb", "\x1b[2J", "x"),
    *(
        "é",
        "\u202ea",
        "\ud800",
        "x" * 300,
        "x" * 70000,
        "1e400",
        "nan",
        "$import os",
        "@x",
        "%a::b",
    ),
    *("a/b/c", "C:\\a", "*", "**", "[", "{id}", "{id", "(", "(a)(b)", "true", "0x10", "[]", "{}"),
    *("a.png", "a.nii.gz", "a.dcm", "1", "-1", "0"),
]


def values(rng: Random, depth: int = 0) -> object:
    """Any value that JSON has, most of them odd."""
    kind = rng.randrange(9 if depth < 3 else 6)
    if kind < 2:
        return rng.choice(NUMBERS)
    if kind < 4:
        return rng.choice(TEXTS)
    if kind < 6:
        return rng.choice([None, True, False, [], {}, [[]], [{}], [None], {"": None}])
    if kind == 6:
        return [values(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 7:
        return {str(rng.choice(TEXTS)): values(rng, depth + 1) for _ in range(rng.randrange(4))}
    nested: object = []
    for _ in range(rng.choice([3, 50, DEEP])):
        nested = [nested] if rng.random() < 0.5 else {"a": nested}
    return nested


def bend_value(content: object, rng: Random) -> object:
    """A copy of a JSON value with one to three places replaced, removed, doubled or swapped."""
    content = copy.deepcopy(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        places = [(None, None, content)]
        for _, _, held in places:
            if isinstance(held, (dict, list)) and len(places) < MOST:
                pairs = held.items() if isinstance(held, dict) else enumerate(held)
                places += [(held, key, each) for key, each in pairs]
        holder, key, value = rng.choice(places)
        if holder is None:
            if rng.random() < 0.1:
                content = values(rng)
            continue
        _change(holder, key, value, rng)
    return content


def _change(holder, key, value: object, rng: Random) -> None:
    way = rng.randrange(7)
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(value))
    elif way == 2 and isinstance(holder, dict):
        holder[rng.choice(TEXTS)] = holder.pop(key)
    elif way == 3:
        holder[key] = {"a": value} if rng.random() < 0.5 else [value]
    elif way == 4:
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        other = rng.choice(list(keys))
        holder[key], holder[other] = holder[other], holder[key]
    elif way == 5 and isinstance(value, (str, int, float)):
        holder[key] = str(value) if not isinstance(value, str) else rng.choice(NUMBERS)
    else:
        holder[key] = values(rng)


def bend_json(data: bytes, rng: Random) -> bytes:
    """JSON of another shape; now and then of another encoding, or damaged."""
    text = json.dumps(bend_value(json.loads(data), rng))
    text = text.replace("1e+400", "1e400")
    return bend_text(text, rng)


def bend_yaml(data: bytes, rng: Random) -> bytes:
    """A card of another shape, or with what only YAML has."""
    import yaml

    if rng.random() < 0.25:
        odd = [
            "note: 2001-99-99\n",
            "note: !!int x\n",
            "note: !!set {a, b}\n",
            "note: !!binary aGk=\n",
            "note: &a [*a]\n",
            "note: &a {b: *a}\n",
            "<<: &a {<<: *a}\n",
            "? [1, 2]\n: 3\n",
            "note: 1:1:1:1\n",
            "note: " + "9" * 6000 + "\n",
            "note: " + "[" * 5000 + "\n",
            "note: !!python/object/apply:os.system [ls]\n",
            "note: 2001-01-01\n",
            "yes: no\n",
            "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(
                f"a{i}: &a{i} [{','.join([f'*a{i - 1}' if i else '*a'] * 10)}]\n" for i in range(9)
            ),
            "a: &a {b: c}\n"
            + "".join(
                f"a{i}: &a{i} {{<<: [{','.join([f'*a{i - 1}' if i else '*a'] * 10)}]}}\n"
                for i in range(9)
            ),
        ]
        return bend_text(data.decode() + rng.choice(odd), rng)
    content = bend_value(yaml.safe_load(data), rng)
    try:
        text = yaml.safe_dump(content, allow_unicode=True)
    except Exception:
        text = json.dumps(content)
    return bend_text(text, rng)


def bend_csv(data: bytes, rng: Random) -> bytes:
    """A table with other cells, rows, columns or delimiters."""
    rows = [line.split(",") for line in data.decode().splitlines()]
    for _ in range(rng.choice([1, 1, 2, 4])):
        row = rng.choice(rows) if rows else []
        way = rng.randrange(7)
        cell = str(rng.choice([*TEXTS, *NUMBERS[:5], '"', '"a', 'a"b', "a,b", ";", "\t"]))
        if way == 0 and row:
            row.pop()
        elif way == 1:
            row.insert(rng.randrange(len(row) + 1), cell)
        elif way == 2 and rows:
            rows.insert(rng.randrange(len(rows)), list(row))
        elif way == 3 and rows:
            rows.remove(row)
        elif way == 4:
            row += [cell[:50]] * rng.choice([3, 2000, 20000])
        elif row:
            row[rng.randrange(len(row))] = cell
    text = "\n".join(",".join(row) for row in rows)
    return bend_text(text, rng)


def bend_text(text: str, rng: Random) -> bytes:
    """Text as bytes; one in eight in another encoding, cut, or damaged."""
    data = text.encode("utf-8", "surrogatepass")
    way = rng.randrange(40)
    if way == 0:
        return b"\xef\xbb\xbf" + data
    if way == 1:
        return text.encode("utf-16", "surrogatepass")
    if way == 2:
        return data.replace(b'"', b'"\0', 1)
    if way < 6:
        return bend_bytes(data, rng)
    return data


def bend_bytes(data: bytes, rng: Random) -> bytes:
    """Bytes cut, flipped, doubled, removed or overwritten; mostly near the beginning."""
    bent = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 3, 8])):
        size = len(bent)
        at = rng.randrange(min(size, rng.choice([16, 64, 400, 1 << 20])) or 1)
        way = rng.randrange(8)
        if way < 3 and size:
            bent[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        elif way == 3 and size:
            bent[at] ^= 1 << rng.randrange(8)
        elif way == 4:
            del bent[at:]
        elif way == 5:
            del bent[at : at + rng.choice([1, 2, 4, 100])]
        elif way == 6:
            bent[at:at] = bytes(bent[at : at + rng.choice([1, 4, 50])])
        else:
            odd = rng.choice([b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff"])
            bent[at : at + len(odd)] = odd
    return bytes(bent)


def bend_metadata(data: bytes, rng: Random) -> bytes:
    """A safetensors file with another header, its length true or not; or other bytes."""
    length = int.from_bytes(data[:8], "little")
    if rng.random() < 0.3:
        return bend_bytes(data, rng)
    header = json.loads(data[8 : 8 + length])
    if rng.random() < 0.5 and "__metadata__" in header:
        kept = header["__metadata__"]
        key = rng.choice(list(kept))
        try:
            kept[key] = json.dumps(bend_value(json.loads(kept[key]), rng))
        except ValueError:
            kept[key] = str(rng.choice(TEXTS))
    else:
        header = bend_value(header, rng)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    size = rng.choice([len(text)] * 8 + [0, 1, 2**63, len(text) + 5])
    return size.to_bytes(8, "little") + text + data[8 + length :]
