"""Which works an author has to cite, and their BibTeX.

``references.bib`` has the works whose entry was looked up; of data and networks that are not among
them an entry is made of what the run says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from gpsseg.config.peft_tuners import is_peft
from gpsseg.reading import read_text
from gpsseg.report.contents import Json
from gpsseg.report.paper.facts import name_of
from gpsseg.report.paper.texts import latex

FILE = Path(__file__).resolve().with_name("references.bib")
ENTRY = re.compile(r"^@\w+\{([^,]+),.*?^\}", re.MULTILINE | re.DOTALL)
OWN_DATA, OWN_NETWORK, SELF = "dataset", "network", "gpsseg"
OF_METHODS: Mapping[str, tuple[str, ...]] = {
    "gps": ("zhang2024gps",),
    "fps": ("yang2025fps",),
    "neuroada": ("neuroada2025",),
    "shira": ("bhardwaj2024shira",),
    "bias": ("benzaken2022bitfit",),
    "lora": ("hu2022lora", "peft"),
    "dora": ("liu2024dora", "peft"),
    "adapter": ("houlsby2019adapters",),
    "ssf": ("lian2022ssf",),
}
OF_CRITERIA: Mapping[str, tuple[str, ...]] = {
    "gallop": ("choudhary2025gallop",),
    "fps": ("yang2025fps",),
}
OF_REFRESH = ("mrabah2025so",)
OF_BACKBONES: Mapping[str, tuple[str, ...]] = {  # the beginnings of names, longest first
    "litemedsam": ("ma2024medsam",),
    "medsam": ("ma2024medsam",),
    "sam-hq": ("ke2023samhq", "kirillov2023sam"),
    "sam2": ("ravi2024sam2",),
    "sam-vit": ("kirillov2023sam",),
    "unet": ("ronneberger2015unet", "iakubovskii2019smp"),
    "monai": ("cardoso2022monai",),
}
OF_DATA: Mapping[str, str] = {  # a card's citation, so that a namesake's is not taken for it
    "Jha et al., Kvasir-SEG - A Segmented Polyp Dataset, MultiMedia Modeling 2020": "jha2020kvasir",
    "Bernal et al., WM-DOVA maps for accurate polyp highlighting in colonoscopy, Computerized "
    "Medical Imaging and Graphics 2015": "bernal2015clinicdb",
    "Fan et al., PraNet - Parallel Reverse Attention Network for Polyp Segmentation, MICCAI "
    "2020": "fan2020pranet",
    "Gutman et al., Skin Lesion Analysis toward Melanoma Detection (ISBI 2016 challenge), arXiv "
    "1605.01397": "gutman2016isic",
    "Codella et al., Skin Lesion Analysis Toward Melanoma Detection (ISBI 2017 challenge), ISBI "
    "2018": "codella2018isic",
    "Codella et al., Skin Lesion Analysis Toward Melanoma Detection 2018, arXiv "
    "1902.03368": "codella2019isic",
}


def keys_of_method(name: str, config: Json) -> tuple[str, ...]:
    """The works behind a way to tune; none of full fine-tuning and the like.

    Args:
        name: of the method.
        config: the run's settings, of which some have works of their own.

    >>> keys_of_method("gps", {"criterion": "gallop", "refresh": 5})
    ('zhang2024gps', 'choudhary2025gallop', 'mrabah2025so')
    """
    if is_peft(name):
        return ("peft",)
    keys = OF_METHODS.get(name, ())
    if name == "gps" and not config.get("start_from"):
        for rule in (config.get("criterion"), config.get("mix")):
            keys += OF_CRITERIA.get(str(rule), ())
    if config.get("refresh"):
        keys += OF_REFRESH
    return keys


def keys_of_backbone(name: str) -> tuple[str, ...]:
    """The works behind a network; of one that is not known here, the run's own entry.

    >>> keys_of_backbone("sam2-hiera-tiny"), keys_of_backbone("my.pth")
    (('ravi2024sam2',), ('network',))
    """
    return next((k for start, k in OF_BACKBONES.items() if name.startswith(start)), (OWN_NETWORK,))


def keys_of_data(metrics: Json) -> tuple[str, ...]:
    """The work behind a data set, the run's own entry, or none where nothing is to be cited."""
    citation = str(metrics.get("citation") or "")
    if not citation or citation == "not stated" or str(metrics.get("data")).startswith("synth"):
        return ()
    return (OF_DATA.get(citation, OWN_DATA),)


def known() -> dict[str, str]:
    """Key -> entry of ``references.bib``."""
    return {found[1]: found[0] for found in ENTRY.finditer(read_text(FILE))}


def bibtex(keys: Iterable[str], metrics: Json, version: str) -> str:
    """The entries of a paper.

    Args:
        keys: of the works, each once or more often.
        metrics: metrics.json, of which entries are made for what is in no list.
        version: of gpsseg, as the run says; it may be empty.
    """
    entries = known()
    own = {
        OWN_DATA: _made(OWN_DATA, metrics.get("title"), metrics.get("citation"), metrics),
        OWN_NETWORK: _made(
            OWN_NETWORK, name_of(metrics.get("backbone")), metrics.get("pretraining"), {}
        ),
        SELF: _made(SELF, "gpsseg", f"Version {version}" if version else "", {}),
    }
    return "\n\n".join({**entries, **own}[key] for key in dict.fromkeys(keys)) + "\n"


def _made(key: str, title: object, note: object, metrics: Json) -> str:
    """An entry of what a run says; its note is to be made a real reference by the author."""
    fields = {"title": latex(str(title or key)), "note": latex(str(note or ""))}
    home = metrics.get("homepage")
    if home:
        fields["howpublished"] = rf"\url{{{_address(str(home))}}}"
    told = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return f"@misc{{{key},\n{told}}}"


def _address(text: str) -> str:
    """An address without what ends a BibTeX field."""
    return re.sub(r"[{}\\\s]", "", text)
