import numpy as np
import pytest

from gpsseg.evaluators.resize import resize_bilinear, resize_box

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (100, 37), (256, 256), (352, 352), (529, 622)])
def test_torch_agrees(shape):
    image = np.random.default_rng(0).random(shape)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None, None], size=(256, 256), mode="bilinear"
    )
    assert np.allclose(resize_bilinear(image, (256, 256)), expected[0, 0].numpy(), atol=1e-9)


def test_a_box_gives_the_same_part():
    image = np.random.default_rng(0).random((90, 130)).astype(np.float32)
    inside = np.zeros_like(image)
    inside[20:60, 70:130] = image[20:60, 70:130]
    box = resize_box(inside, (256, 256), (slice(20, 60), slice(70, 130)))
    whole = resize_bilinear(inside, (256, 256))
    assert whole[whole > 0].sum() == box[box > 0].sum()
    assert box.shape < whole.shape


def test_the_right_size_is_left_alone():
    image = np.zeros((4, 5), np.float32)
    assert resize_bilinear(image, (4, 5)) is image
