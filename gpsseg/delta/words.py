"""What `delta info` says, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gpsseg.config.methods import TOLD, title_of
from gpsseg.config.told import mark
from gpsseg.errors import counted, size_text, told
from gpsseg.evaluators.words import refresh_words

UNKNOWN = "not known (the delta does not say)"
SHORT = 200
MOST = 20  # parts of a mean that are listed


def lines_of(known: Mapping[str, Any], layers: bool) -> Iterator[str]:
    """A line for each thing to know.

    Args:
        known: see ``gpsseg.delta.facts.facts_of``, with file, bytes, sha256 and layers.
        layers: whether to list these.
    """
    size, parts = known["bytes"], known["contents"]
    yield _line("file", f"{size_text(size)}, SHA-256 {known['sha256']}")
    yield _line("values", f"SHA-256 {known['values_sha256']} (by which a mean names its parts)")
    yield _line("base", f"{_text(known['base'])}, SHA-256 of weights {_short(known['base_hash'])}")
    yield _line("method", _method(known["settings"]))
    yield _line("shown", _shown(known["settings"]))
    yield _line("changes", _changes(parts))
    if again := refresh_words(known["trainable"] or {}):
        yield _line("", again)
    for role in ("encoder", "decoder"):
        if (counts := known["trainable"]) and role in counts:
            share = counts.get(f"share_of_{role}")
            of = "" if share is None else f", {share:.2%} of it"
            yield _line(f"  {role}", f"{counts[role]:,} numbers{of}")
    yield _line("selection", f"SHA-256 {_short(known['selection_hash'])}")
    yield _line("data", _data(known))
    if known["averaged"]:
        yield from _mean(known["averaged"])
    else:
        yield _line("trained", _training(known["training"]))
    if known["started_from"]:
        digest = told(known["started_from"], 64)
        yield _line("started", f"from the delta whose file has SHA-256 {digest}")
    yield _line("scores", scores_words(known["scores"]))
    yield _line("licence", f"of the base's weights: {_text(known['licence'])}")
    if layers:
        yield f"{'selected':>10} {'whole':>10}  layer"
        for row in known["layers"]:
            yield f"{row['selected']:>10,} {row['whole']:>10,}  {told(row['layer'], SHORT)}"


def _line(name: str, text: str) -> str:
    return f"{name:<11}{text}"


def _text(value: object) -> str:
    return UNKNOWN if value in (None, "") else told(value, SHORT)


def _short(digest: str | None) -> str:
    return UNKNOWN if digest is None else told(digest, 16)


def _method(settings: Mapping[str, Any] | None) -> str:
    if not settings or "method" not in settings:
        return UNKNOWN
    method = told(settings["method"])
    idle = {"mix_share"} if not settings.get("mix") else set()
    idle |= {"layers", "late_share"} if settings.get("layers") != "late" else set()
    given = [name for name in TOLD if settings.get(name) and name not in idle]
    options = [f"{name} {told(settings[name])}" for name in given]
    return ", ".join([title_of(method), *options])


def _shown(settings: Mapping[str, Any] | None) -> str:
    if not settings or "image_size" not in settings:
        return UNKNOWN
    size = settings["image_size"]
    words = [f"images of {size} x {size}", f"prompt {told(settings.get('prompt') or 'none')}"]
    if settings.get("text"):  # without it the delta is of no use elsewhere
        words[-1] += f": {told(settings['text'][0])}"
    words += [f"computed in {told(settings['precision'])}"] if "precision" in settings else []
    if settings.get("classes"):
        apart = "told apart" if settings.get("separate_classes") else "as one"
        words.append(f"classes {', '.join(map(told, settings['classes'][:20]))} {apart}")
    return ", ".join(words)


def _changes(parts: Mapping[str, int]) -> str:
    words = []
    if parts["weights"]:
        words.append(f"{parts['entries']:,} entries of {counted(parts['weights'], 'weight')}")
    if parts["whole_tensors"]:
        tensors = counted(parts["whole_tensors"], "tensor")
        words.append(f"{tensors} whole ({parts['whole']:,} numbers)")
    return " and ".join(words)


def _mean(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What a mean is of; by the hashes of the values, for it tells no names."""
    yield _line(
        "mean", f"of {counted(len(parts), 'training')}, each of the values with this SHA-256:"
    )
    for part in parts[:MOST]:
        number = part["train_images"]
        images = "unknown how many" if number is None else f"{number:,}"
        digest = told(part["sha256"], 64)
        yield _line("", f"{part['share']:>7.2%}  {digest} ({images} training images)")
    if len(parts) > MOST:
        yield _line("", f"... and {len(parts) - MOST:,} more; --json lists them all")


def _data(known: Mapping[str, Any]) -> str:
    number, title, name = known["train_images"], known["title"], known["dataset"]
    if title is None and name is None and known["data"] is None and number is None:
        return UNKNOWN
    if title is None and name is None:
        words = ["of which set is not known"]
    else:
        words = [f"{told(title, SHORT)} ({told(name)})" if title else told(name)]
    if known["data"] is not None:
        words.append("SYNTHETIC SAMPLE" if "synthetic" in known["data"] else told(known["data"]))
    words.append("unknown how many training images" if number is None else f"trained on {number}")
    words.append(f"split {_short(known['split_sha256'])}")
    return ", ".join(words)


def _training(training: Any) -> str:
    if training is None:
        return UNKNOWN
    if training.sentence:
        return str(training.sentence)
    course = training.ended or f"{training.finished} of {counted(training.epochs, 'epoch')}"
    return f"{told(course, SHORT)}; the weights are those of epoch {training.best}"


def scores_words(scores: Mapping[str, Any] | None) -> str:
    """The scores of the test images, with all that they must not be told without."""
    if not scores or scores.get("dice") is None:
        return "none: not tested, or the delta does not say"
    parts = []
    for name, title in (("dice", "mDice"), ("iou", "mIoU")):
        if (value := scores.get(name)) is not None:
            ends = scores.get(f"{name}_ci95")
            interval = f" [{ends[0]:.3f}, {ends[1]:.3f}]" if ends else ""
            parts.append(f"{title} {value:.3f}{interval}")
    number = scores.get("images")
    of = "" if number is None else f" on {counted(number, 'test image')}"
    words = [f"{' '.join(parts)}{of}", f"protocol {told(scores.get('protocol', '?'))}"]
    if prompt := scores.get("prompt"):
        words.append(told(mark(prompt) or f"prompt {prompt}"))
    if "synthetic" in scores.get("data", ""):
        words.append("SYNTHETIC SAMPLE: they say nothing about real images")
    return ", ".join(words)
