"""What a file of weights is by its first bytes, whatever it is called; it is not opened further."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Literal

from gpsseg.errors import UserError

Kind = Literal["safetensors", "zip", "pickle"]
LOOKED_AT = 512
MOST_NAMED = 100_000_000  # bytes of safetensors' header, which its library allows
AGAIN = "Download it again"
SAVE = "save a network's state_dict: torch.save(model.state_dict(), path)"
OTHERS = (  # how files begin that hold no weights, or none that are read, what they are, and a fix
    (
        rb"version https://git-lfs",
        "a Git LFS pointer, not the weights themselves",
        "Run git lfs pull where it was cloned",
    ),
    (
        rb"(?:\.\./|\.git/|/)*annex/objects",
        "a git-annex pointer, not the weights themselves",
        "Run git annex get",
    ),
    (
        rb"<(?:!doctype html|html|head|!--)",
        "an HTML page, not weights",
        AGAIN + ": a browser shows what went wrong",
    ),
    (rb"<(?:\?xml|error)", "an XML text, not weights", AGAIN + ": it may say what went wrong"),
    (
        rb"[{\[]\s*(?:\"|[{\[}\]])",
        "a JSON text, not weights",
        AGAIN + ": it may say what went wrong",
    ),
    (rb"\x89HDF", "an HDF5 file, as Keras writes them", "Convert it: " + SAVE),
    (rb"GGUF", "a GGUF file, of quantised weights", "Pass the weights that it was made from"),
    (rb"\x93NUMPY", "a NumPy array", "With its names, " + SAVE),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "a compressed file", "Unpack it first"),
)


def kind_of(path: Path) -> Kind:
    """What a checkpoint is, and how it is therefore read.

    Raises:
        UserError: it is none of PyTorch or safetensors; the text says what it is instead.
        OSError: it cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (place := Path(folder, "x.pt")).write_bytes(b"version https://git-lfs.github.com/")
    ...     kind_of(place)
    Traceback (most recent call last):
    gpsseg.errors.UserError: ...x.pt is a Git LFS pointer, not the weights themselves. Run git ...
    """
    with path.open("rb") as file:
        head = file.read(LOOKED_AT)
    if not head:
        raise UserError(f"{path} is not a readable checkpoint: it is empty. {AGAIN}.")
    if head[:4] == b"PK\x03\x04":
        _refuse_zip(path)
        return "zip"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= MOST_NAMED:
        return "safetensors"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for pattern, what, fix in OTHERS:
        if re.match(pattern, text, re.IGNORECASE) or re.match(pattern, head):
            raise UserError(f"{path} is {what}. {fix}.")
    raise UserError(
        f"{path} is not a readable checkpoint: it begins like no file of PyTorch or safetensors. "
        "Copy it again from its source, or convert it: "
        f"{SAVE}."
    )


def _refuse_zip(path: Path) -> None:
    """Refuse an archive that torch.save did not write.

    Raises:
        UserError: it is one; one that is damaged is left to the reader.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return
    files = {name.rpartition("/")[2] for name in names if name.count("/") == 1}
    if "constants.pkl" in files or any(
        name.endswith("/code/") or "/code/" in name for name in names
    ):
        raise UserError(
            f"{path} is a TorchScript program, which gpsseg does not run. Pass its state_dict: "
            "torch.save(torch.jit.load(path).state_dict(), other), where you trust it."
        )
    if "data.pkl" not in files:
        arrays = names and all(name.endswith(".npy") for name in names)
        held = "NumPy arrays" if arrays else "other files"
        raise UserError(
            f"{path} is a zip archive of {held}, not a checkpoint of PyTorch. Unpack it, or {SAVE}."
        )


def require_weights(folder: Path) -> None:
    """Refuse a folder in which something else has a name of weights, such as a pointer of Git's.

    Raises:
        UserError: as ``kind_of``.
    """
    for ending in ("*.safetensors", "pytorch_model*.bin"):
        for file in sorted(folder.glob(ending)):
            if file.is_file():
                kind_of(file)
