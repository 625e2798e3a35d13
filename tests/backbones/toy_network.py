"""A network as a user may bring it, see docs/backbone-of-your-own.md."""

import torch
from torch import nn


class Stage(nn.Module):
    """Half the size."""

    def __init__(self, before, after):
        super().__init__()
        self.down = nn.Conv2d(before, after, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(after)
        self.mix = nn.Conv2d(after, after, 3, padding=1)

    def forward(self, x):
        x = self.norm(self.down(x))
        return x + self.mix(nn.functional.gelu(x))


class Toy(nn.Module):
    """Two stages, and logits of a quarter of the size; its bias is in no module of its own."""

    gpsseg = {  # noqa: RUF012
        "encoder": ["shift", "stages"],
        "decoder": "head",
        "pretrained": [],
        "image_size": 64,
        "image_multiple": 4,
        "mean": (0.4, 0.4, 0.4),
        "std": (0.2, 0.2, 0.2),
    }

    def __init__(self, classes):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(3, 1, 1))
        self.stages = nn.Sequential(Stage(3, 8), Stage(8, 16))
        self.head = nn.Sequential(nn.Conv2d(16, 8, 1), nn.GELU(), nn.Conv2d(8, classes, 1))

    def forward(self, image):
        return {"out": self.head(self.stages(image + self.shift))}
