"""Whether results of several places go together: one base, one selection, and shown alike.

The one place that says so, for deltas that are averaged, compared, adopted, put to work in turns or
gone on with, and for candidates that are merged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from gpsseg.errors import UserError, shown, told
from gpsseg.gps.tensorfile import listed

if TYPE_CHECKING:  # a delta's own file is read without this one
    from gpsseg.gps.delta import Delta

PICTURES = ("prompt", "image_size", "classes", "separate_classes")  # what a network is shown
SEEN_ALIKE = ("method", "rank", *PICTURES, "text")  # settings that all must share
GREYS = "greys"  # a setting of images of more than 8 bits: what is black and white in them
RANGES = ("whole", "real", "window")  # of it
Names = Sequence[str] | None


def refuse_other_base(one: Delta, other: Delta, names: Names = None) -> None:
    """Refuse deltas of two bases, whose positions mean other weights.

    Args:
        one: the first.
        other: the second.
        names: what to call them. Default: their files.

    Raises:
        UserError: they are.
    """
    bases = [delta.metadata for delta in (one, other)]
    hashes = [each.get("base_hash", "none") for each in bases]
    if hashes[0] != hashes[1] or set(one.free) != set(other.free):
        first, second = names or names_of(one, other)
        of = [
            f"{told(each.get('base', 'a base without a name'))} with hash {told(its, 15)}"
            for each, its in zip(bases, hashes, strict=True)
        ]
        raise UserError(
            f"{first} was made from {of[0]}, and {second} from {of[1]}, expected one base: only "
            "then do positions mean the same weights. Train with the same --backbone, --weights "
            "and --prompt everywhere, and by methods that train the same parts from scratch."
        )


def refuse_other_selection(one: Delta, other: Delta, names: Names = None) -> None:
    """Refuse deltas that change other entries.

    Raises:
        UserError: they do; it says how many.
    """
    apart, entries = entries_apart(one, other)
    if apart:
        first, second = names or names_of(one, other)
        raise UserError(
            f"The selections of {first} and {second} differ in {apart:,} of {entries:,} entries, "
            "expected one selection. Let all start from one: finetune --start-from."
        )


def refuse_seen_otherwise(
    here: Mapping[str, Any], there: Mapping[str, Any], names: Sequence[str]
) -> None:
    """Refuse networks of two methods, or that are shown other things.

    Args:
        here: settings of the first. What only one of the two tells is not compared.
        there: settings of the second.
        names: of both.

    Raises:
        UserError: a setting differs.
    """
    for name in SEEN_ALIKE:
        one, other = (_plain(each.get(name)) for each in (here, there))
        if name in here and name in there and one != other:
            option = f"--{name.replace('_', '-')}"
            raise _seen_otherwise(
                *(name, one, other, names), f"Train with the same {option} everywhere."
            )
    ranges, others = (_ranges(each.get(GREYS)) for each in (here, there))
    for name in RANGES:
        if name in ranges and name in others and ranges[name] != others[name]:
            what = "the window" if name == "window" else f"the range of greys ({name} numbers)"
            raise _seen_otherwise(
                *(what, ranges[name], others[name], names),
                "Bring the images to one scale everywhere before: CT by `python -m gpsseg.slices` "
                "with one --window, others to 8 bits by one range.",
            )


def entries_apart(one: Delta, other: Delta) -> tuple[int, int]:
    """How many entries only one of two deltas has, of how many that either has."""
    alone = either = 0
    nothing = torch.zeros(0, dtype=torch.int64)
    for name in one.sparse.keys() | other.sparse.keys():
        here, there = (each.sparse.get(name, (nothing,))[0].long() for each in (one, other))
        common = int(torch.isin(here, there).sum())
        alone += len(here) + len(there) - 2 * common
        either += len(here) + len(there) - common
    for name in one.dense.keys() | other.dense.keys():
        tensors = [each.dense[name] for each in (one, other) if name in each.dense]
        same = len(tensors) == 2 and tensors[0].shape == tensors[1].shape
        either += tensors[0].numel() if same else sum(each.numel() for each in tensors)
        alone += 0 if same else sum(each.numel() for each in tensors)
    return alone, either


def names_of(*deltas: Delta) -> list[str]:
    """What to call deltas: their files, where they have been read from any."""
    return [str(delta.path or "A delta") for delta in deltas]


def settings_of(metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    """The settings that a file's metadata tell; empty of an older one.

    Raises:
        UserError: they are damaged; it says of the file ``name``.
    """
    found: dict[str, Any] = listed({"settings": "{}", **metadata}, "settings", name, dict)
    return found


def _seen_otherwise(what: str, here: Any, there: Any, names: Sequence[str], mend: str) -> UserError:
    return UserError(
        f"{names[0]} was made with {what} {shown(here)} and {names[1]} with {shown(there)}, "
        f"expected the same. {mend}"
    )


def _plain(value: Any) -> Any:
    """As JSON has it."""
    return list(value) if isinstance(value, tuple) else value


def _ranges(greys: Any) -> dict[str, list[float]]:
    """The ranges that a setting tells; what is none comes out of a damaged file."""
    found = greys if isinstance(greys, dict) else {}
    return {n: list(found[n]) for n in RANGES if isinstance(found.get(n), list | tuple)}
