import numpy as np
import pytest

from gpsseg.evaluators.resize import interpolation_matrix, resize_bilinear

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (100, 37), (256, 256), (352, 352), (529, 622)])
def test_torch_agrees(shape):
    image = np.random.default_rng(0).random(shape)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None, None], size=(256, 256), mode="bilinear"
    )
    assert np.allclose(resize_bilinear(image, (256, 256)), expected[0, 0].numpy(), atol=1e-9)


def test_weights_sum_to_1():
    assert np.allclose(interpolation_matrix(529, 256).sum(axis=1), 1)


def test_the_right_size_is_left_alone():
    image = np.zeros((4, 5), np.float32)
    assert resize_bilinear(image, (4, 5)) is image
