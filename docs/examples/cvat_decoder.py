"""The decoder that CVAT's SAM interactor runs in the browser, of weights that gpsseg exported.

python cvat_decoder.py FOLDER/sam_vit_b_tuned.pth vit_b decoder.onnx
It needs: pip install segment-anything-py torch torchvision onnx onnxruntime
"""

import sys
import warnings

import torch
from segment_anything import sam_model_registry
from segment_anything.utils.onnx import SamOnnxModel

OUTPUTS = ["masks", "iou_predictions", "low_res_masks", "xtl", "ytl", "xbr", "ybr"]


class Decoder(torch.nn.Module):
    """Clicks to a mask of 0 and 1 that is cut to its bounding box, and the box.

    Of SAM's masks it is the first, which gpsseg tunes; where nothing is found, the whole image's.
    """

    def __init__(self, sam):
        super().__init__()
        self.decoder = SamOnnxModel(sam, return_single_mask=False)
        self.threshold = sam.mask_threshold

    def forward(self, embeddings, coords, labels, mask_input, has_mask_input, size):
        """The inputs of segment-anything's own export."""
        masks, scores, low = self.decoder(
            embeddings, coords, labels, mask_input, has_mask_input, size
        )
        found = (masks[:, :1] > self.threshold).to(torch.uint8)
        top, bottom = ends(found.amax((0, 1, 3)))
        left, right = ends(found.amax((0, 1, 2)))
        cut = found[:, :, top : bottom + 1, left : right + 1]
        return cut, scores[:, :1], low[:, :1], left, top, right, bottom


def ends(line):
    """The first and the last place of a line of 0 and 1 that is not 0."""
    return line.argmax(), line.shape[0] - 1 - line.flip(0).argmax()


def main(checkpoint, kind, output):
    """Write the decoder."""
    sam = sam_model_registry[kind](checkpoint=checkpoint).eval()
    grid, dim = sam.prompt_encoder.image_embedding_size, sam.prompt_encoder.embed_dim
    inputs = {
        "image_embeddings": torch.randn(1, dim, *grid),
        "point_coords": torch.tensor([[[1.0, 2.0], [5.0, 6.0], [7.0, 8.0]]]),
        "point_labels": torch.tensor([[1.0, 1.0, 0.0]]),
        "mask_input": torch.randn(1, 1, *(4 * side for side in grid)),
        "has_mask_input": torch.tensor([1.0]),
        "orig_im_size": torch.tensor([50.0, 60.0]),
    }
    clicks = {"point_coords": {1: "clicks"}, "point_labels": {1: "clicks"}}
    with warnings.catch_warnings():  # the older exporter, whose graphs take images of any size
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Decoder(sam),
            tuple(inputs.values()),
            output,
            dynamo=False,
            input_names=list(inputs),
            output_names=OUTPUTS,
            dynamic_axes=clicks | {"masks": {2: "height", 3: "width"}},
            opset_version=17,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
