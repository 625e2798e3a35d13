"""Data that several rooms' tests share."""

import copy
import gc
import importlib.util
import io
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests' processes share the cores
CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module", autouse=True)
def what_is_imported_is_no_garbage() -> None:
    """Every training ends by collecting garbage, which looks at all that torch and MONAI made."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def built_networks() -> dict[Any, Any]:
    """What ``unet.build`` was called with -> the network, and PyTorch's random state after it."""
    return {}


def _copies_of(net: Any) -> Callable[[], Any]:
    """What makes a copy of a network; a quarter of ``copy.deepcopy``'s time, which adds up."""
    import torch

    tensors: dict[int, Any] = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, each: Any) -> int | None:
            if not isinstance(each, torch.Tensor):
                return None
            tensors[id(each)] = each
            return id(each)

    class Unpickler(pickle.Unpickler):
        def __init__(self, file: Any):
            super().__init__(file)
            self.copied: dict[int, Any] = {}

        def persistent_load(self, number: int) -> Any:
            if number not in self.copied:
                self.copied[number] = copy.deepcopy(tensors[number])
            return self.copied[number]

    packed = io.BytesIO()
    Pickler(packed, pickle.HIGHEST_PROTOCOL).dump(net)
    return lambda: Unpickler(io.BytesIO(packed.getvalue())).load()


@pytest.fixture(scope="module", autouse=True)
def each_unet_is_built_once(built_networks: dict[Any, Any]) -> Iterator[None]:
    """A training builds two, which takes as long as an epoch; what is drawn stays the same.

    So does what comes with pip: it is read and hashed once, and copied into each network.
    """
    if "torch" not in sys.modules:
        yield
        return
    import torch

    from gpsseg.backbones import unet, weights

    build, packaged = unet.build, unet.packaged_weights
    reader = weights.distribution, weights.sha256_of_file

    def kept_weights(*file: str) -> Any:
        if (weights.distribution, weights.sha256_of_file) != reader:
            return packaged(*file)  # a test of what is damaged or missing
        if file not in built_networks:
            built_networks[file] = packaged(*file)
        return built_networks[file]

    def kept(architecture: str, encoder: str, classes: int) -> Any:
        key = (architecture, encoder, classes, torch.get_rng_state().numpy().tobytes())
        if key not in built_networks:
            net = build(architecture, encoder, classes)
            built_networks[key] = _copies_of(net), torch.get_rng_state()
        net, state = built_networks[key]
        torch.set_rng_state(state)
        return net()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unet, "build", kept)
        patch.setattr(unet, "packaged_weights", kept_weights)
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real sets (research use; never part of the project)."""
    given = os.environ.get("GPSSEG_TEST_DATA")
    folder = Path(given) if given else CHECKOUT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real images: {folder} is not there; set GPSSEG_TEST_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def maker() -> ModuleType:
    """The functions of dicom_maker.py."""
    pytest.importorskip("pydicom")
    return _module("dicom_maker")


@pytest.fixture(scope="session")
def odd_files() -> ModuleType:
    """The functions of odd_files.py."""
    return _module("odd_files")


@pytest.fixture(scope="session")
def grey_files() -> ModuleType:
    """The functions of grey_files.py."""
    return _module("grey_files")


@pytest.fixture(scope="session")
def crasher() -> ModuleType:
    """The functions of crasher.py."""
    return _module("crasher")


@pytest.fixture(scope="session")
def sam3_tiny() -> ModuleType:
    """The functions of sam3_tiny.py."""
    return _module("sam3_tiny")


@pytest.fixture(scope="session")
def sam3_folder(sam3_tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SAM 3 with random weights, as facebook/sam3 is laid out; only to be read."""
    return sam3_tiny.write_sam3(tmp_path_factory.mktemp("weights") / "sam3")


@pytest.fixture(scope="session")
def golden() -> ModuleType:
    """The functions of test_golden.py."""
    return _module("test_golden")


@pytest.fixture(scope="session")
def tiny_video() -> ModuleType:
    """The functions of tiny_video.py."""
    return _module("tiny_video")


@pytest.fixture(scope="session")
def video_weights(tiny_video: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of SAM 2 with its memory, random."""
    folder = tmp_path_factory.mktemp("weights") / "sam2-video"
    tiny_video.random_video_net().save_pretrained(folder)
    return folder


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Prepared images never go to the cache of whoever runs the tests, nor what is trusted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPSSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("GPSSEG_TRUST", str(tmp_path_factory.mktemp("trust")))
        yield


@pytest.fixture(autouse=True)
def no_data_root_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own $GPSSEG_DATA must not decide what the tests read."""
    monkeypatch.delenv("GPSSEG_DATA", raising=False)


@pytest.fixture
def ctrl_c_in_the_loss(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """``ctrl_c_in_the_loss(n)``: until ``monkeypatch.undo()`` the n-th loss is Ctrl-C."""
    import gpsseg.engine.loss as module

    original = module.segmentation_loss

    def arrange(call: int) -> None:
        calls = []

        def interrupted(*arguments):
            calls.append(1)
            if len(calls) == call:
                raise KeyboardInterrupt
            return original(*arguments)

        monkeypatch.setattr(module, "segmentation_loss", interrupted)

    return arrange


@pytest.fixture
def no_64_bits() -> Callable[[str], Any]:
    """``with no_64_bits(device):`` none of its tensors has reals of 64 bits, as on Apple's GPUs."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class No64Bits(TorchDispatchMode):
        def __init__(self, device: str):
            super().__init__()
            self.device = device

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
            found = function(*args, **(kwargs or {}))
            for each in tree_leaves(found):
                if getattr(getattr(each, "device", None), "type", "") == self.device:
                    assert str(each.dtype) not in ("torch.float64", "torch.complex128"), function
            return found

    return No64Bits


@pytest.fixture(scope="session")
def drawn_kvasir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a tiny synthetic set in Kvasir-SEG's layout, 6 train, 2 test: to read."""
    from gpsseg.data.synthetic.scenes import synthesize

    folder = tmp_path_factory.mktemp("drawn")
    synthesize("kvasir", folder, cases=8, seed=1, size=64)
    return folder


@pytest.fixture
def kvasir(drawn_kvasir: Path, tmp_path: Path) -> Path:
    """The same for a test to change."""
    return shutil.copytree(drawn_kvasir, tmp_path / "data")


@pytest.fixture
def study_of(tmp_path: Path) -> Callable[..., Path]:
    """``study_of({}, {"decoder": 2.0})``: a study's folder, of copies of an old run.

    A fold for each dict: what is multiplied in its delta, by a part of the parameters' names.
    """
    from gpsseg.gps import Delta

    old = CHECKOUT / "tests" / "golden" / "run_0_1"

    def make(*folds: dict[str, float], name: str = "study", folds_of: str = "train") -> Path:
        study = tmp_path / name
        for number, factors in enumerate(folds, 1):
            run = shutil.copytree(old, study / f"fold-{number}")
            delta = Delta.load(run / "delta.safetensors")
            for part, factor in factors.items():
                delta.dense.update({n: t * factor for n, t in delta.dense.items() if part in n})
                changed = {n: (i, v * factor) for n, (i, v) in delta.sparse.items() if part in n}
                delta.sparse.update(changed)
            delta.metadata.update(epochs="2", epochs_finished="2", best_epoch="2")
            delta.save(run / "delta.safetensors")
        content = {"folds": len(folds), "folds_of": folds_of}
        (study / "study.json").write_text(json.dumps(content))
        return study

    return make


@pytest.fixture
def cells_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs of a comparison stay in this process."""
    from gpsseg.compare import race

    def side_by_side(run, jobs, processes, stage):
        for job in jobs:
            yield run(*job, threads=1)

    monkeypatch.setattr(race, "run_side_by_side", side_by_side)
