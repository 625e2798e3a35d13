"""SAM 3's networks: its detector, and the head of its tracker, from a folder or at random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gpsseg.backbones.folders import pretrained
from gpsseg.backbones.sam2_names import is_memory
from gpsseg.backbones.sam_kind import model_type
from gpsseg.backbones.weights import fill_weights, folder_config
from gpsseg.errors import UserError, shown
from gpsseg.faults import pass_want_of_memory

TYPES = ("sam3", "sam3_video")
FIX = (
    "It needs config.json and model.safetensors of facebook/sam3, or what save_pretrained writes "
    "of a Sam3Model; an original sam3.pt does not fit."
)
HEAD = ("tracker_model.", "tracker_neck.")
RELATIVES = {  # by what their config.json says they are, which nobody here loads
    "sam3_tracker": "SAM 3's tracker without its detector",
    "sam3_tracker_video": "SAM 3's tracker without its detector",
    "sam3_lite_text": "SAM3-LiteText, whose text encoder is another",
}


class TrackerHead(nn.Module):
    """What SAM 3's tracker does in a single image: SAM 2's mask decoder with a pyramid of its own.

    Args:
        detector: a transformers ``Sam3Config``; the tracker's image encoder is the detector's.
        settings: of the tracker, as in config.json.
    """

    def __init__(self, detector: Any, settings: dict[str, Any]):
        from transformers import Sam3TrackerConfig, Sam3TrackerModel

        super().__init__()
        vision = detector.vision_config.to_dict()
        vision["backbone_config"]["num_hidden_layers"] = 0  # only the pyramid is kept
        heads = ("prompt_encoder_config", "mask_decoder_config")
        kept = {name: settings[name] for name in heads if name in settings}  # else as published
        net = Sam3TrackerModel(Sam3TrackerConfig(vision_config=vision, **kept))
        self.neck = net.vision_encoder.neck
        self.mask_decoder = net.mask_decoder
        self.prompt_encoder = net.prompt_encoder
        self.shared_image_embedding = net.shared_image_embedding
        self.no_memory_embedding = net.no_memory_embedding
        self.mask_decoder.dynamic_multimask_via_stability = False  # one token, as in sam2.py


class OfAnyGrid(nn.Module):
    """The rotary embedding of a layer that looks at the whole image, of whatever size.

    A grid of any size is spread over the side of a window, as in SAM 3's own for its own size.

    Args:
        rotary: the layer's own.
        window: patches along the side of a window.
    """

    def __init__(self, rotary: nn.Module, window: int):
        super().__init__()
        self.rotary, self.window = rotary, window

    def forward(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine for (B, h, w, C) features; ``positions`` are of the layer's own size."""
        del positions
        height, width = x.shape[1:3]
        y = torch.arange(height, device=x.device).float() * (self.window / height)
        x_ = torch.arange(width, device=x.device).float() * (self.window / width)
        grid = torch.stack([x_.expand(height, -1), y[:, None].expand(-1, width)], dim=-1)
        found: tuple[Tensor, Tensor] = self.rotary(x, grid.flatten(0, 1))
        return found


def take_any_size(vision: Any) -> None:
    """Let an image encoder take images of other sizes than its own, in place."""
    for layer in vision.backbone.layers:
        if layer.window_size == 0:
            layer.rotary_emb = OfAnyGrid(layer.rotary_emb, layer.config.window_size)


def read_networks(folder: Path, own: bool = True) -> tuple[Any, TrackerHead | None]:
    """The detector in a folder, and the tracker's head if it is there too.

    Args:
        folder: as of facebook/sam3, or as save_pretrained writes it of a detector.
        own: see ``pretrained``.

    Raises:
        UserError: the folder is not one of SAM 3, or of a relative, lacks weights, or has more.
    """
    from transformers import Sam3Model

    relative = model_type(str(folder))
    if relative in RELATIVES:
        raise UserError(
            f"{folder} holds {RELATIVES[relative]} ({relative}), which gpsseg does not load. Pass "
            "a whole folder of facebook/sam3."
        )
    net = pretrained(Sam3Model, folder, "SAM 3", TYPES, own, FIX)
    return net, _read_head(folder, net)


def _read_head(folder: Path, net: Any) -> TrackerHead | None:
    from safetensors import safe_open

    settings = folder_config(str(folder)).get("tracker_config") or {}
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            all_names = file.keys()
            names = [name for name in all_names if name.startswith(HEAD)]
            tensors |= {_own_name(name): file.get_tensor(name).float() for name in names}
    tensors = {name: t for name, t in tensors.items() if not is_memory(name)}
    if not tensors:
        return None
    try:
        head = TrackerHead(net.config, settings)
    except Exception as error:  # likewise
        pass_want_of_memory(error)
        why = f"tracker_config: {shown(str(error))}"
        raise UserError(f"{folder} is not a folder of SAM 3 ({why}). {FIX}") from None
    fill_weights(head, tensors, folder, "a folder of SAM 3 with a whole tracker")
    return head


def _own_name(name: str) -> str:
    """A tensor's name in ``TrackerHead``; save_pretrained may write "tracker_model." twice."""
    name = name.replace("tracker_neck.", "neck.")
    while name.startswith("tracker_model."):
        name = name.removeprefix("tracker_model.")
    return name


def random_networks() -> tuple[Any, TrackerHead]:
    """Networks of the published size with random weights."""
    from transformers import Sam3Config, Sam3Model, Sam3TrackerConfig

    config = Sam3Config()
    return Sam3Model(config), TrackerHead(config, Sam3TrackerConfig().to_dict())
