"""The veil of a command with --anonymous-ids: what its files must not name, and the filter for it.

A command draws the veil once its salt is known; whatever reads cases adds their names. All text
that gpsseg writes passes `clean` in `gpsseg.files`, so that no writer has to think of it. First
comes structure (ids and groups are hashed, error texts stay on the console); this stands behind.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Number
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

DIGITS = 16
CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
SIMPLE = re.compile(r"[A-Za-z0-9_./-]+")
WORD = re.compile(r"[^\W_]+")
BELOW = re.compile(  # what follows a hidden folder: up to an ending, or else to the next blank
    r"""[/\\](?:(?:(?![.:;,]\s)[^\n"'<>])*?\.\w{1,7}\b|[^\s"'<>,;]*)"""
)
QUOTED = re.compile(r"""(["'])(~?/|[A-Za-z]:[/\\]|\\\\)[^"'\n]*\1""")
ROOTED = re.compile(r"""(?<![\w/\\:.<>~)\]])(?:~?/(?=\w)|[A-Za-z]:\\|\\\\)[^\s"'<>|,;()]*""")
PICTURE = re.compile(
    r"""[^\s"'<>/\\,;:()=]+\.(?:png|jpe?g|tiff?|bmp|gif|webp|jp2|j2k|jfif|p[bgnp]m|avif|apng|tga|psd|"""
    r"""dcm|dicom|ima|nii|nii\.gz|nrrd|nhdr|mh[ad]|hdr|mgz|mgh|gipl|"""
    r"""npy|npz|mp4|avi|mov|mkv|parquet)\b""",
    re.IGNORECASE,
)
MARKUP = re.compile(r"(<style.*?</style>|<script.*?</script>|<[^>]*>)", re.DOTALL)
ATTRIBUTE = re.compile(r'(\s(?:title|alt|aria-label|content|value|href|data-[\w-]+)=")([^"]*)"')
# Keys whose values are the program's own words, of which a part may be a name.
PROGRAMS = {"layer", "role", "transforms", "loss", "criterion"}
COMMON_WORDS = """
about above after against all and annotation annotations any area auto axial base batch before best
bias biases box cache calibration case cases checklist ci95 class classes clinical colour compare
comparison config copy count cpu csv cuda curve curves data dataset datasets day dec decoder default
delta demo desktop dev device dice dir documents done downloads each edge empty encoder end ensemble
epoch epochs error etc evaluate evaluation event export false file files finetune first flips fold
folder folders foreground format found frame frames from full gps gpsseg group groups gt hash hidden
home host id ids image images img imgs index input inputs iou iso item json kind label labels layer
layers leak leaks learning lesion lesions level lib limit list local log loss lost lr main mask
masks mdice mean media method methods metrics micro miou mnt model models mount mps name names
native net network neuron new nii none norm not null official old opt options other out output
outputs own page paper part parts path paths patience patient patients pet picture pictures pixel
pixels png point polyp polyps precision predict prediction predictions private prob probability
progress project projects prompt prompts protocol public random rate raw real report research
resized result results root row rows run runs sample scan scans score scores seconds seed
segmentation segmentations select selected selection series set sets settings sha256 share shared
shown size slice slices source split splits srv state step steps stopped structure studies study sum
synthetic table target task temp test tested testing tests text the three tif time title tmp top
total tracker train trained training trial true truth tune tuning two txt uncertainty unet unit url
user users val valid validation value values var version video view volume volumes weight weights
whole why with work workspace yaml zip
"""
COMMON = frozenset(COMMON_WORDS.split())


def plain(text: str) -> str:
    """The text without what makes a terminal obey: control characters become U+FFFD.

    >>> plain("a" + chr(27) + "[2Jb")
    'a\ufffd[2Jb'
    """
    return CONTROLS.sub("\ufffd", text)


def hashed(name: str, salt: str) -> str:
    """The first 16 hex digits of HMAC-SHA-256 of a name.

    >>> hashed("Jane Doe", "salt") == hashed("Jane Doe", "salt") != hashed("Jane Doe", "pepper")
    True
    """
    digest = hmac.new(salt.encode(), name.encode("utf-8", "replace"), hashlib.sha256)
    return digest.hexdigest()[:DIGITS]


def looks_hashed(names: Iterable[str]) -> bool:
    """Whether all of some names look like hashes of names, as a nameless run writes them.

    >>> looks_hashed([hashed("Jane Doe", "salt")]), looks_hashed(["Jane Doe"])
    (True, False)
    """
    return all(re.fullmatch(rf"[0-9a-f]{{{DIGITS}}}", name) for name in names)


@dataclass(frozen=True)
class Veil:
    """Names that a command's files must not hold.

    Attributes:
        salt: of the hashes that stand for them.
        public: words, in small letters, that are no names here, such as a method or a class.
        names: name -> what is written instead.
        shapes: first word of a name -> (where in the name it begins, the name's length) of all
            names with that first word, the longest first. There are few, however many names.
    """

    salt: str
    public: frozenset[str] = frozenset()
    names: Mapping[str, str] = field(default_factory=dict)
    shapes: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    def hide(self, names: Mapping[str, str]) -> Veil:
        """The veil that also hides ``names``: name or path -> what is written instead.

        Words that tell nothing stay: common ones, numbers of less than five digits, one or two
        letters.
        """
        told = {name: instead for name, instead in names.items() if self._tells(name)}
        forms = {form: instead for name, instead in told.items() for form in _forms(name)}
        added = {form: instead for form, instead in forms.items() if self._tells(form)}
        shapes = {word: set(found) for word, found in self.shapes.items()}
        for form in added:
            if found := WORD.search(form):
                shapes.setdefault(found[0], set()).add((found.start(), len(form)))
        longest_first = {
            word: tuple(sorted(found, key=lambda shape: -shape[1]))
            for word, found in shapes.items()
        }
        return dataclasses.replace(self, names={**self.names, **added}, shapes=longest_first)

    def hide_path(self, path: Path) -> Veil:
        """The veil that hides a user's file or folder, and the name of each folder above it."""
        full = path.expanduser().absolute()
        places = {str(path), path.as_posix(), str(full), str(full.resolve())}
        parts = {part for place in (full, full.resolve(), path) for part in place.parts}
        stems = {full.stem, full.name}
        names = {part: hashed(part, self.salt) for part in parts | stems if WORD.search(part)}
        kind = "file" if full.is_file() else "folder"
        there = f"{kind} {hashed(str(full.resolve()), self.salt)[:8]}"
        long = {place for place in places if len(Path(place).parts) > 1}
        return self.hide(names | dict.fromkeys(long, there))

    def _tells(self, name: str) -> bool:
        if name.lower() in COMMON:
            return False
        digits = sum(letter.isdigit() for letter in name)
        if not any(letter.isalpha() for letter in name):
            return digits >= 5
        return len(name) > 2 or digits > 0

    def text(self, text: str) -> str:
        """The text without known names, and without whatever looks like a path or a picture."""
        text = self._without_names(text)
        text = QUOTED.sub(lambda found: f"{found[1]}{_kind(found[0][1:-1])}{found[1]}", text)
        text = ROOTED.sub(lambda found: _kind(found[0]), text)
        return PICTURE.sub("a file", text)

    def _without_names(self, text: str) -> str:
        pieces, end = [], 0
        for word in WORD.finditer(text):
            for offset, length in self.shapes.get(word[0], ()):
                start = word.start() - offset
                stop, name = start + length, text[max(start, 0) : start + length]
                fits = end <= start and stop <= len(text) and self._hides(name)
                if not fits or not _alone(text, start, stop):
                    continue
                instead = self.names[name]
                if below := BELOW.match(text, stop):
                    stop = below.end()
                pieces += [text[end:start], instead]
                end = stop
                break
        return "".join([*pieces, text[end:]])

    def markup(self, page: str) -> str:
        """An HTML page whose text and readable attributes pass `text`."""
        pieces = MARKUP.split(page)
        for i, piece in enumerate(pieces):
            if i % 2 == 0:
                pieces[i] = self.text(piece)
            elif not piece.startswith(("<style", "<script")):
                pieces[i] = ATTRIBUTE.sub(lambda found: f'{found[1]}{self.text(found[2])}"', piece)
        return "".join(pieces)

    def value(self, value: Any, whole: bool = False) -> Any:
        """A value of a JSON file, with all texts in it passed through `text`.

        Args:
            value: anything JSON can hold, or what becomes text there, such as a path. Keys are the
                program's own words and stay.
            whole: whether only texts that are a name from end to end are changed.
        """
        if isinstance(value, Mapping):
            return {key: self._entry(key, each, whole) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(each, whole) for each in value]
        if value is None or isinstance(value, Number):
            return value
        return self._whole(str(value)) if whole else self.text(str(value))

    def _entry(self, key: object, value: Any, whole: bool) -> Any:
        if key == "command":
            return []
        return self.value(value, whole or key in PROGRAMS)

    def _hides(self, name: str) -> bool:
        """Whether a name is known, and no public word here."""
        return name in self.names and name.lower() not in self.public

    def _whole(self, text: str) -> str:
        return self.names[text] if self._hides(text) else text


def _forms(name: str) -> Iterable[str]:
    """How a name may stand in a text: as it is, as printed, quoted, in HTML, in a folder's name."""
    if SIMPLE.fullmatch(name):
        return {name}
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
    encoded = name.encode("utf-8", "replace").decode()
    escaped = html.escape(name)
    return {
        *(name, shown, encoded, plain(name), repr(name)[1:-1]),
        *(escaped, escaped.replace("&#x27;", "&#39;").replace("&quot;", "&#34;")),
        re.sub(r"[^\w.-]+", "-", name).strip("-."),
    }


def _alone(text: str, start: int, stop: int) -> bool:
    """Whether a name stands for itself, and is no part of a word or a number."""
    before, after = text[start - 1 : start], text[stop : stop + 1]
    first, last = text[start], text[stop - 1]
    if (first.isalnum() and before.isalnum()) or (last.isalnum() and after.isalnum()):
        return False
    if any(letter.isalpha() for letter in text[start:stop]):
        return True
    behind = text[stop + 1 : stop + 2]
    return before not in (".", ",") and not (after in (".", ",") and behind.isdigit())


def _kind(path: str) -> str:
    """What to call a path that nobody knows."""
    return "a file" if re.search(r"\.\w{1,7}$", path) else "a folder"


def is_place(value: object) -> bool:
    """Whether a setting names a place on this machine: a path, or an absolute path as text."""
    if isinstance(value, str):
        return PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()
    return isinstance(value, Path)
