"""What is written passes one place."""

import ast
from pathlib import Path

import gpsseg

PACKAGE = Path(gpsseg.__file__).parent
# What may write without gpsseg.files, and why no name of a nameless run can be in it.
WRITERS = {
    "files.py": "the filter itself",
    "ending.py": "nowhere, where nobody takes what was printed",
    "writing.py": "bytes of the filter's files",
    "config/private.py": "salt.txt, the one private file",
    "backbones/own_trust.py": "which code its user has named, in that user's own folder",
    "runs/starts.py": "locks a folder",
    "data/cache.py": "arrays under a hash",
    "data/formats/dicom_seg.py": "refers to its source, as the standard demands",
    "data/formats/volume_files.py": "a mask's voxels",
    "data/formats/images.py": "a mask's pixels, into memory",
    "report/thumbnails.py": "pixels into memory",
    "engine/machine.py": "tells Linux to begin a peak anew",
    "report/check.py": "pixels into memory",
    "delta/hub.py": "what a hub sends, as it comes, into a folder that is not in its place yet",
    "export/monai_bundle.py": "the library's own files, in a folder that is not in its place yet",
    "export/onnx.py": "the same",
    "data/unpack.py": "published archives",
}
METHODS = {
    *("write_text", "write_bytes", "tofile", "savefig", "to_csv", "imwrite", "save_file", "savez"),
    *("save_as", "WriteImage", "fdopen", "mkstemp", "NamedTemporaryFile", "copytree", "copyfile"),
    *("copy2", "dump", "safe_dump_all", "FileHandler", "savetxt", "to_parquet", "to_json"),
}


def opened_to_write(call):
    """Whether a call of ``open`` asks for more than reading."""
    given = [*call.args, *(word.value for word in call.keywords if word.arg == "mode")]
    texts = [each.value for each in given if isinstance(each, ast.Constant)]
    modes = [text for text in texts if isinstance(text, str) and len(text) < 4]
    return any(set(mode) & set("wax+") for mode in modes)


def writes(path):
    """The calls in a file that may write one, but for those of gpsseg.files."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
        owner = getattr(getattr(node.func, "value", None), "id", "")
        ours = isinstance(node.func, ast.Name) and name in ("write_text", "write_bytes")
        if (
            (name == "open" and (owner == "os" or opened_to_write(node)))
            or (name in METHODS and not ours)
            or (name == "save" and owner not in ("delta", "selection", "collector", "candidates"))
        ):
            yield f"{path.name}, line {node.lineno}: {name}"


def test_files_are_written_in_one_place():
    """Else anonymity, atomic writing and control characters would be each caller's business."""
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).as_posix() not in WRITERS:
            assert list(writes(path)) == [], "write through gpsseg.files"


def test_a_writer_elsewhere_is_seen(tmp_path):
    lines = [
        'path.write_text("a")', 'open(path, "w")', 'path.open("a")', 'path.open(mode="xb")',
        "image.save(path)", "os.open(path, flags)", "cv2.imwrite(path, pixels)",
        "write_text(path, text)", "path.open()", 'path.open("rb")', "delta.save(path)",
    ]  # fmt: skip
    for i, line in enumerate(lines):
        (tmp_path / "code.py").write_text(line)
        assert bool(list(writes(tmp_path / "code.py"))) == (i < 7), line


def modules_of(path):
    """The modules that a file imports when it is imported, but for type checking."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
