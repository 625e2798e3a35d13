"""Runs of version 0.1 keep its rule of black and white."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gpsseg.runs.greys import stored_greys

# Golden numbers of version 0.1 (commit b1e6db5, before this rule): each file, made as by
# `old_files`, was prepared there by
#     read_image(path), or for DICOM
#     volume = read_dicom([read_header(path)], path)
#     to_rgb(volume.values[0], *grey_range(volume), volume.inverted)
# and this is [0, :, 0] of it.
OF_0_1 = {
    "colour.png": [0, 3, 6, 9, 12, 15],
    "ct.dcm": [0, 51, 102, 153, 204, 255],
    "grey.tif": [0, 4, 8, 12, 16, 19],
    "inverse.dcm": [255, 204, 153, 102, 51, 0],
    "padded.dcm": [0, 236, 241, 246, 250, 255],
    "real.tif": [0, 0, 0, 0, 1, 2],
    "sigmoid.dcm": [0, 0, 0, 255, 255, 255],
    "signed.tif": [0, 0, 0, 12, 37, 62],
    "xray.dcm": [0, 7, 14, 21, 28, 35],
}


def old_files(folder: Path, maker: ModuleType, grey_files: ModuleType) -> None:
    grey_files.saved(folder / "grey.tif", (grey_files.RAMP * 5000).astype(np.uint16))
    grey_files.saved(folder / "real.tif", (grey_files.RAMP * 4 - 2).astype(np.float32))
    grey_files.saved(folder / "signed.tif", (grey_files.RAMP * 2000 - 1000).astype(np.int32))
    grey_files.saved(
        folder / "colour.png",
        np.repeat((grey_files.RAMP * 4095).astype(np.uint16)[..., None], 3, 2),
    )
    twelve = {"BitsStored": 12, "HighBit": 11}
    whole = (grey_files.RAMP * 4095).astype(np.uint16)
    maker.write_dicom(
        folder / "xray.dcm", (grey_files.RAMP * 9000).astype(np.uint16), Modality="CR"
    )
    inverse = {"PhotometricInterpretation": "MONOCHROME1", "Modality": "DX"}
    maker.write_dicom(folder / "inverse.dcm", whole, **twelve, **inverse)
    sigmoid = {"WindowCenter": 2000, "WindowWidth": 600, "VOILUTFunction": "SIGMOID"}
    maker.write_dicom(folder / "sigmoid.dcm", whole, **twelve, **sigmoid, Modality="MG")
    padded = (grey_files.RAMP * 200).astype(np.int16)
    padded[:, 0] = -2000
    maker.write_dicom(folder / "padded.dcm", padded, maker.MR, PixelPaddingValue=-2000)
    rescale = {"RescaleSlope": 1, "RescaleIntercept": -1000}
    maker.write_dicom(
        folder / "ct.dcm", (grey_files.RAMP * 2000).astype(np.uint16), maker.CT, **rescale
    )


@pytest.mark.parametrize("name", OF_0_1)
def test_a_run_of_version_0_1_keeps_its_rule(
    name: str, maker: ModuleType, tmp_path: Path, grey_files: ModuleType
) -> None:
    old_files(tmp_path, maker, grey_files)
    old = stored_greys({"config": {}, "resolved": {"precision": "fp32"}}, "config.json")
    assert grey_files.shown(tmp_path / name, old) == OF_0_1[name]
    new = grey_files.shown(
        tmp_path / name, stored_greys({"resolved": {"greys": None}}, "config.json")
    )
    if name not in ("inverse.dcm", "ct.dcm"):
        assert new != OF_0_1[name]
    # Six equal steps (four where the first is padding), and a sigmoid from end to end.
    rising = sorted(new, reverse=name == "inverse.dcm")
    assert new == rising
    assert max(new) >= 75
    assert len(set(new)) >= (4 if name == "sigmoid.dcm" else 5)
