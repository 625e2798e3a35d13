"""Whether two pictures show one scene from two places: small features that move together.

`gpsseg.data.checks.likeness` finds patches a little moved; frames of a video that are some tenths
of a second apart are moved, turned and scaled by more. Here SIFT features (Lowe, IJCV 2004) of both
pictures are matched, and count where one similarity transform takes them over.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gpsseg.data.checks.likeness import Floats

SIDE, FEATURES = 128, 150
RATIO, REACH = 0.85, 0.02  # best to second best distance; of a side, how far a match may lie off
# Measured on the 4 most alike of each of Kvasir-SEG's 1000 images and of 1000 of ISIC 2017: from
# these numbers on, all 8 pairs that patches do not find show one scene (each was looked at). With
# features in 2 of 16 cells alone, letters that devices burn in were taken for one scene.
TOGETHER, CELLS = 8, 4
Landmarks = tuple[Floats, Floats] | None


def landmarks(picture: Floats) -> Landmarks:
    """The features of a picture (128, 128): places (N, 2) in 0..1 and descriptions (N, 128)."""
    import cv2

    detector = cv2.SIFT.create(nfeatures=FEATURES, contrastThreshold=0.02)  # one a thread
    points, described = detector.detectAndCompute(picture.astype(np.uint8), None)
    if described is None:
        return None
    root = np.sqrt(described / (described.sum(axis=1, keepdims=True) + 1e-6))
    places = np.array([p.pt for p in points], np.float32) / np.float32(SIDE)
    return places, root.astype(np.float32)


def one_scene(one: Landmarks, other: Landmarks, together: int = TOGETHER) -> bool:
    """Whether enough features of one picture, from enough of it, are found in the other.

    Args:
        one: see ``landmarks``.
        other: the same.
        together: how many must agree on one shift, turn and scale (by at most a half or twice).
    """
    import cv2

    places, found = _matches(one, other, together)
    if len(places) < together:
        return False
    transform, inside = cv2.estimateAffinePartial2D(
        places, found, method=cv2.RANSAC, ransacReprojThreshold=REACH, maxIters=500
    )
    if transform is None or not 0.5 < np.hypot(transform[0, 0], transform[1, 0]) < 2:
        return False
    kept = places[inside[:, 0] > 0]
    cells = {(int(4 * x), int(4 * y)) for x, y in kept}
    return len(kept) >= together and len(cells) >= CELLS


def _matches(one: Landmarks, other: Landmarks, least: int) -> tuple[Floats, Floats]:
    """Places of features that are each other's best match, and clearly better than the next."""
    nothing: npt.NDArray[np.float32] = np.zeros((0, 2), np.float32)
    if one is None or other is None or min(len(one[0]), len(other[0])) < least:
        return nothing, nothing
    likeness = one[1] @ other[1].T
    two = np.partition(likeness, -2, axis=1)[:, -2:]
    distance = np.sqrt(np.maximum(0, 2 - 2 * two))
    best = likeness.argmax(axis=1)
    mutual = likeness.argmax(axis=0)[best] == np.arange(len(best))
    good = mutual & (distance[:, 1] < RATIO * distance[:, 0])
    return one[0][good], other[0][best[good]]
