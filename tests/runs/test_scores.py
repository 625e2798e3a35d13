"""How many images are scored at once, and that it makes no difference but of rounding."""

import weakref
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gpsseg import gps
from gpsseg.config.select import SelectConfig
from gpsseg.engine.activations import activation_bytes
from gpsseg.engine.loss import segmentation_loss
from gpsseg.engine.machine import make_machine
from gpsseg.engine.prepare import tuning_mode
from gpsseg.runs import scores as module
from gpsseg.runs.scores import images_at_once, most_at_once, scores_of_halves
from gpsseg.runs.selection import choose

SIDE = 32
CPU = {"device": "cpu", "precision": "fp32"}


class Pictures:
    """Noise of a number; the fifth picture's loss is far larger than the others'."""

    seed = epoch = 0

    def __init__(self, count):
        self.image = torch.rand((count, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(1))
        self.mask = (self.image[:, :1] > 0.7).float()
        self.mask[4:5] = 1

    def __len__(self):
        return len(self.image)

    def __getitem__(self, index):
        return {"image": self.image[index], "mask": self.mask[index]}


def net():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 1, 1)
    )
    model.facts = SimpleNamespace(batch_size=4)
    tuning_mode(model)
    return model


def config(**settings):
    return SelectConfig(prompt=None, workers=0, image_size=SIDE, **CPU, **settings)


def scored(model, at_once, count=7, **settings):
    """The scores by the first half of the pictures, and by all."""
    weights, machine = gps.neuron_weights(model), make_machine("cpu", "fp32")
    halves = scores_of_halves(model, Pictures(count), at_once, weights, config(**settings), machine)
    return [{name: each.rows(name).clone() for name in weights} for each in halves]


@pytest.mark.parametrize("at_once", [2, 3, 7])
def test_scores_of_batches_are_those_of_one_image_at_a_time(at_once):
    model = net()
    for alone, together in zip(scored(model, 1), scored(model, at_once), strict=True):
        for name, rows in alone.items():
            torch.testing.assert_close(together[name], rows, rtol=1e-4, atol=1e-6)


def test_weights_are_scored_by_the_loss_that_trains_them():
    pictures, by = Pictures(2), {}
    for kind in ("bce-iou", "structure"):
        model = net()
        for image in range(2):
            shown = pictures[image]
            logits = model(shown["image"][None])
            segmentation_loss(logits, shown["mask"][None], kind).backward()
        by[kind] = model[0].weight.grad.abs().flatten(1)
        found = scored(model, 1, 2, loss=kind)[-1]["0.weight"]
        torch.testing.assert_close(found, by[kind], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(by["bce-iou"], by["structure"], rtol=0.05)


def test_no_batch_reaches_over_the_half():
    """Of 7 pictures the first 3 are the first half, also where 7 fit into a batch."""
    (half, _), (same, _) = scored(net(), 7), scored(net(), 3)
    torch.testing.assert_close(half["0.weight"], same["0.weight"])


def test_batches_select_the_same_but_for_what_rounding_may_exchange():
    model, machine, top_k = net(), make_machine("cpu", "fp32"), {"0.weight": 2, "3.weight": 1}
    chosen = []
    for at_once in (1, 3):
        *_, scores = scores_of_halves(model, Pictures(7), at_once, [*top_k], config(), machine)
        chosen.append(gps.select(model, scores, top_k))
        ties = gps.within_rounding(scores, top_k)
    entries = sum(len(index) for index in chosen[0].indices.values())
    assert entries * (1 - gps.overlap(*chosen)) <= ties


def at_once_of(model, scoring, training, whole=(), pictures=16, **settings):
    """What is decided where a pass keeps so many bytes of an image, and a step so many."""
    kept, weights = [scoring, training], gps.neuron_weights(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "activation_bytes", lambda *args: kept.pop(0))
        machine, asked = make_machine("cpu", "fp32"), config(**settings)
        return images_at_once(model, Pictures(pictures), weights, whole, asked, machine)


def test_as_many_at_once_as_stay_under_the_memory_of_a_training_step():
    """The net scores 216 + 8 weights, whose sums take 896 bytes; a step has 4 images."""
    assert at_once_of(net(), 1000, 1000) == 2  # .9 * 4000 - 896 = 2704
    assert at_once_of(net(), 1000, 1100) == 3  # .9 * 4400 - 896 = 3064
    assert at_once_of(net(), 1000, 200) == 1  # never fewer
    assert at_once_of(net(), 100, 1000) == 4  # never more
    assert at_once_of(net(), 1000, 1090) == 3  # .9 * 4360 - 896 = 3028
    assert at_once_of(net(), 1000, 1080) == 2  # .9 * 4320 - 896 = 2992
    assert at_once_of(net(), 1000, 1080, whole=["0.bias"]) == 3  # 8 numbers: .9 * 128 bytes more
    model = net()
    model.facts.batch_size = 8
    assert at_once_of(model, 1000, 1000) == 6  # .9 * 8000 - 896 = 6304


@given(st.integers(1, 10_000), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 40))
def test_a_pass_never_takes_more_than_a_training_step(image, step, sums, batch):
    found = most_at_once(batch, image, step, sums)
    assert 1 <= found <= batch
    assert found == 1 or found * image + sums <= 0.9 * step
    assert found == batch or (found + 1) * image + sums > 0.9 * step - 1


@pytest.mark.parametrize("criterion", ["gradient-abs", "fisher", "magnitude", "random"])
def test_where_each_image_counts_by_itself_they_come_one_by_one(criterion):
    settings = {"selection_images": None} if criterion in ("magnitude", "random") else {}
    assert at_once_of(net(), 1, 1000, criterion=criterion, **settings) == 1
    assert at_once_of(net(), 1, 1000, criterion="taylor") == 4


def test_no_more_at_once_than_a_half_has():
    model = net()
    model.facts.batch_size = 8
    assert at_once_of(model, 1, 1000, pictures=5) == 3


def test_a_network_that_draws_gets_one_image_at_a_time(monkeypatch):
    """With dropout two images of a batch are drawn otherwise than one after the other."""

    def small(*args):
        assert activation_bytes(*args) > 1
        return 1  # memory is no reason

    monkeypatch.setattr(module, "activation_bytes", small)
    plain = net()
    plain.facts.batch_size = 4000  # so that the sums of gradients have room
    model = nn.Sequential(*plain[:3], nn.Dropout(0.5), plain[3])
    model.facts = plain.facts
    weights, machine = gps.neuron_weights(model), make_machine("cpu", "fp32")

    def found():
        return images_at_once(model, Pictures(8), weights, [], config(), machine)

    assert found() == 1
    model[3].eval()
    assert found() == 4


def test_who_saves_memory_gets_one_image_at_a_time():
    assert at_once_of(net(), 1, 1000, checkpoint_activations=True) == 1


def squared(model, batch):
    return model(batch["image"]).square().sum()


@pytest.mark.parametrize(
    ("entries", "kept"),
    [
        (None, 120 + 48),  # the weight trains: the input too
        ([], 120),  # nothing of it does
        ([0, 2], 120 + 24),  # two entries of one of its two channels
    ],
)
def test_what_backward_keeps_is_counted(entries, kept):
    """A linear layer of 2 to 5 channels on 6 rows: 48 bytes come, 120 go and are squared."""
    model, batch = nn.Sequential(nn.Linear(2, 5)), {"image": torch.rand(6, 2)}
    if entries is not None:
        index = {"0.weight": torch.tensor(entries, dtype=torch.int32)} if entries else {}
        gps.sparsify(model, gps.Selection(index, {"0.weight": (5, 2)}, ("0.bias",)))
    assert activation_bytes(model, batch, squared) == kept


def test_trying_leaves_the_network_as_it_was():
    model = net()
    before = [(name, p.clone(), p.requires_grad) for name, p in model.named_parameters()]
    weights, machine = gps.neuron_weights(model), make_machine("cpu", "fp32")
    assert images_at_once(model, Pictures(8), weights, [], config(), machine) > 1
    for (name, value, flag), (now, p) in zip(before, model.named_parameters(), strict=True):
        assert (name, flag) == (now, p.requires_grad)
        assert torch.equal(value, p)


@pytest.fixture
def known(monkeypatch):
    """A network whose scores are known: of one neuron's inputs one has .5 % more than the next."""
    from gpsseg.runs import selection

    model, sums = net(), {"0.weight": torch.zeros(8, 3, 3, 3), "3.weight": torch.zeros(1, 8, 1, 1)}
    sums["3.weight"][0, :2, 0, 0] = torch.tensor([1.0, 0.995])
    scores = gps.Scores(model, gps.CRITERIA["gradient"], sums, list(sums))
    monkeypatch.setattr(selection, "scores_of_halves", lambda *args: iter([scores]))
    monkeypatch.setattr(selection, "images_at_once", lambda *args: 1)
    monkeypatch.setattr(selection, "gps_trains", lambda *args: (dict.fromkeys(sums, 1), []))
    model.facts = SimpleNamespace(scratch=())
    return model


@pytest.mark.parametrize(("precision", "ties"), [("fp32", 0), ("bf16", 1)])
def test_a_tie_is_as_wide_as_the_precision_is_coarse(precision, ties, known):
    machine = make_machine("cpu", precision)
    assert choose(known, Pictures(2), config(), machine)[1]["within_rounding"] == ties


def test_it_is_said_where_fewer_images_are_scored_than_asked_for(known, capsys):
    machine, line = make_machine("cpu", "fp32"), "--selection-images 500 asks for more than there"
    for asked, told in ((500, True), (2, False), (None, False)):
        _, how = choose(known, Pictures(2), config(selection_images=asked), machine)
        assert how["images"] == 2
        assert (line in " ".join(capsys.readouterr().out.split())) == told


def test_what_a_smaller_batch_does_not_help_is_not_advised(monkeypatch):
    """Out of memory with one image at a time: a batch of 8 is not the reason."""
    from gpsseg.config.finetune import SettledConfig
    from gpsseg.memory import OutOfMemoryError
    from gpsseg.runs import selection

    def empty(*args):
        raise MemoryError
        yield

    model = net()
    model.facts = SimpleNamespace(scratch=())
    monkeypatch.setattr(selection, "scores_of_halves", empty)
    monkeypatch.setattr(selection, "gps_trains", lambda *args: ({"0.weight": 1}, []))
    asked = SettledConfig(
        image_size=SIDE, batch_size=8, epochs=1, lr=1.0, decoder_lr=1.0, workers=0
    )
    for at_once, named in ((1, False), (2, True)):
        monkeypatch.setattr(selection, "images_at_once", lambda *args, n=at_once: n)
        with pytest.raises(OutOfMemoryError) as caught:
            selection.choose(model, Pictures(2), asked, make_machine("cpu", "fp32"))
        assert ("--batch-size (now 8" in str(caught.value)) == named


def test_what_was_counted_is_freed():
    """A rectifier keeps what it gives, which leads back to it."""
    model, outputs = nn.Sequential(nn.Linear(2, 5), nn.ReLU()), []
    model.register_forward_hook(lambda layer, x, y: outputs.append(weakref.ref(y)))
    assert activation_bytes(model, {"image": torch.rand(6, 2)}, squared) == 48 + 120
    assert [output() for output in outputs] == [None]
