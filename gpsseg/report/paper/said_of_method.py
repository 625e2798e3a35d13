"""What can be said of the way to tune, and of what it selected."""

from __future__ import annotations

from gpsseg.config.methods import title_of
from gpsseg.errors import counted
from gpsseg.report.contents import Json
from gpsseg.report.paper.facts import CONFIG, LAYERS, METRICS, FolderFacts, Sentence
from gpsseg.report.paper.references import keys_of_method
from gpsseg.report.sections import ever_trained, trained_parts

CRITERIA = {
    "gradient": "the absolute sum of their gradients over training images",
    "gradient-abs": "the sum of their absolute gradients over training images",
    "gallop": "the absolute sum of their gradients over training images, over their magnitude",
    "fps": "their magnitude times the mean magnitude of their inputs over training images",
    "taylor": "the absolute sum of their gradients over training images, times their magnitude",
    "magnitude": "their magnitude, which looks at no image",
    "random": "chance, which looks at no image",
}
BIASES = {
    "layers": "; the biases of linear layers and convolutions trained too",
    "all": "; all biases trained too, and the shifts of batch normalisations",
}


def method(facts: FolderFacts) -> Sentence | None:
    """Which way to tune, and its settings."""
    name = facts.metrics.get("method")
    if not name:
        return None
    config = facts.config
    cited = keys_of_method(str(name), config)
    text = f"The network was adapted by {title_of(str(name))}"
    if config.get("start_from"):
        text += ", of a selection that was made before this run and handed to it"
    elif name == "gps" and {"top_k", "criterion"} <= set(config):
        text += f": {_selected(config)}{_decoder(config.get('decoder_top_k'))}"
        text += BIASES.get(config.get("biases", ""), "")
    elif name in ("lora", "dora", "adapter") and "rank" in config:
        text += f", of rank {config['rank']}"
    elif name in ("neuroada", "shira", "fps") and "top_k" in config:
        text += f", {config['top_k']} input connections per neuron"
    if config.get("refresh"):
        text += f"; it was selected anew after every {counted(config['refresh'], 'update')}"
    files = (f"{facts.where}{CONFIG}",) if config else ()
    return facts.said(f"{text}.", METRICS, *files, cites=cited)


def _selected(config: Json) -> str:
    """Which entries of the encoder GPS selected, and by what."""
    count, criterion = config["top_k"], config["criterion"]
    by = CRITERIA.get(criterion, f'the criterion "{criterion}"')
    whole = {"layer": "each layer", "net": "the whole encoder"}.get(config.get("level", ""))
    if whole:
        kept = f"as many entries as {count} input connections per neuron, the best of {whole},"
    else:
        kept = f"the {counted(count, 'best input connection')} of each neuron"
    if config.get("mix"):
        other = CRITERIA.get(config["mix"], config["mix"])
        by += f", {100 * config['mix_share']:g} % of them by {other}"
    where = "the late layers of the encoder" if config.get("layers") == "late" else "the encoder"
    return f"in {where} {kept} {'was' if count == 1 and not whole else 'were'} selected by {by}"


def _decoder(top_k: object) -> str:
    if top_k == "dense":
        return "; the decoder trained whole"
    return f"; in the decoder {top_k} per neuron" if top_k is not None else ""


def selection_images(facts: FolderFacts) -> Sentence | None:
    """On how many images weights were scored, and how firm the selection is."""
    found = facts.run.selection
    if not found.get("images"):
        return None
    text = f"Weights were scored on {counted(found['images'], 'training image')}"
    half = found.get("overlap_with_half")
    if half is not None:
        text += f"; half of them select {100 * half:.3g} % of the same entries"
        if found.get("mix"):
            text += f", counted among those that {found['criterion']} itself chose"
    return facts.of_run(f"{text}.", LAYERS)


def trained_share(facts: FolderFacts) -> Sentence | None:
    """How much trained, and how much stayed frozen."""
    parts = {name: (number, share) for name, number, share in trained_parts(facts.run)}
    if "All" not in parts:
        return None
    number, share = parts["All"]
    if share == 1:
        return facts.of_run(f"All {number:,} numbers of the network trained.", METRICS)
    text = (
        f"{number:,} numbers trained{ever_trained(facts.run)}, {100 * share:.3g} % of the network"
    )
    two = [name for name in ("Encoder", "Decoder") if name in parts]
    inside = [f"{name.lower()} {100 * parts[name][1]:.3g} %" for name in two]
    more = f" ({', '.join(inside)})" if inside else ""
    where = METRICS if facts.run.metrics.get("trainable") else LAYERS
    return facts.of_run(f"{text}{more}; everything else stayed frozen.", where)
