"""configs/inference.json of a MONAI bundle: images of a folder in, masks at native size out.

It names nothing of gpsseg's, so that it runs where gpsseg is not.
"""

from __future__ import annotations

from typing import Any

ROUNDED = "$lambda data: {**data, 'image': (data['image'].clip(0, 1) * 255).round() / 255}"
RESIZED = (
    "$lambda data: {**data, 'probability': torch.nn.functional.interpolate(data['pred'].cpu()"
    "[None], data['size'], mode='bilinear', align_corners=False)[0]}"
)
FOREGROUND = "$lambda data: {**data, 'pred': data['probability'] >= 0.5}"
LABELS = (
    "$lambda data: {**data, 'pred': torch.where(1 - data['probability'][:1] >= 0.5, "
    "1 + data['probability'][1:].argmax(0, keepdim=True), 0)}"
)
SIZED = "$lambda data: {**data, 'size': tuple(data['image'].shape[-2:])}"
NAMED = (  # the writer of MONAI turns width and height round, as its reader does
    "$lambda data: {**data, 'pred': monai.data.MetaTensor(data['pred'].transpose(-2, -1)"
    ".to(torch.uint8), meta={'filename_or_obj': data['image'].meta['filename_or_obj']})}"
)


def inference(model: str, read: str, side: int, several: bool) -> dict[str, Any]:
    """The whole file.

    Args:
        model: path of the program in the bundle.
        read: of the script that reads images.
        side: of the network's input in pixels.
        several: whether it tells classes apart.
    """
    return {
        "imports": [
            "$import os",
            "$import numpy",
            "$import torch",
            "$import monai",
            "$import runpy",
            "$from PIL import Image",
            "$from torch.export.passes import move_to_device_pass",
        ],
        "bundle_root": ".",
        "dataset_dir": "$os.path.join(@bundle_root, 'images')",
        "output_dir": "$os.path.join(@bundle_root, 'masks')",
        "device": "$'cuda:0' if torch.cuda.is_available() else 'cpu'",
        "endings": [".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"],
        "reading": f"$runpy.run_path(os.path.join(@bundle_root, '{read}'))",
        "read": "$@reading['rgb']",
        "found": "$@reading['pictures'](@dataset_dir, @endings)",
        "data": "$@found[0]",
        "program": f"$torch.export.load(os.path.join(@bundle_root, '{model}'))",
        "network_def": "$torch.export.unflatten(move_to_device_pass(@program, @device)).eval()",
        "network": "$@network_def",
        "preprocessing": {"_target_": "Compose", "transforms": _preparing(side)},
        "dataset": {"_target_": "Dataset", "data": "@data", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1},
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {"_target_": "Compose", "transforms": _reading_off(several)},
        "handlers": [],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "$torch.device(@device)",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "initialize": ["$monai.utils.set_determinism(seed=0)"],
        "run": [
            "$@reading['begin'](@found[2])",
            "$@evaluator.run()",
            "$@reading['leave'](@found[1])",
        ],
    }


def _preparing(side: int) -> list[Any]:
    reader = {
        "_target_": "PILReader",
        "reverse_indexing": False,
        "converter": "$lambda image: Image.fromarray(@read(image))",
    }
    return [
        {
            "_target_": "LoadImaged",
            "keys": "image",
            "reader": reader,
            "ensure_channel_first": True,
        },
        SIZED,
        {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 255}
        | {"b_min": 0, "b_max": 1},
        {"_target_": "Resized", "keys": "image", "spatial_size": [side, side], "mode": "area"},
        ROUNDED,
    ]


def _reading_off(several: bool) -> list[Any]:
    return [
        RESIZED,
        LABELS if several else FOREGROUND,
        NAMED,
        {
            "_target_": "SaveImaged",
            "keys": "pred",
            "output_dir": "@output_dir",
            "output_postfix": "",
            "output_ext": ".png",
            "output_dtype": "$numpy.uint8",
            "scale": None if several else 255,
            "separate_folder": False,
            "resample": False,
            "print_log": False,
        },
    ]
