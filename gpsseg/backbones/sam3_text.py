"""Words as the tokens that SAM 3's text encoder reads."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gpsseg.errors import UserError, shown

FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"))  # either will do
NEEDED = "tokenizer.json (or vocab.json and merges.txt)"


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer of CLIP's kind that a folder holds.

    Raises:
        UserError: it holds none, or a damaged one.
    """
    from transformers import CLIPTokenizer

    if not any(all((folder / file).is_file() for file in files) for files in FILES):
        raise UserError(
            f"{folder} has no tokenizer, which makes tokens of --text: expected {NEEDED} beside "
            "config.json. Copy it from where the weights come from."
        )
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # damaged files make the library fail in every way there is
        why = shown(str(error))
        raise UserError(
            f"The tokenizer in {folder} cannot be read ({why}). Copy {NEEDED} again from its "
            "source."
        ) from None


def tokens_of(text: str, tokenizer: Any, config: Any, name: str) -> Tensor:
    """(1, T) tokens of some words, without padding, which nothing would attend to.

    Args:
        text: the words.
        tokenizer: see ``read_tokenizer``; None is for random weights, which know no words: each
            then gets some token.
        config: of the text encoder.
        name: of the backbone, for the errors.

    Raises:
        UserError: there are no words, or more than the text encoder reads.
    """
    if not text.strip():
        raise UserError(
            f"{name} with --prompt text is told by words what to segment, got none. Pass them, "
            'such as --text "polyp".'
        )
    ids = tokenizer(text)["input_ids"] if tokenizer else _any_tokens(text, config)
    most = config.max_position_embeddings
    if len(ids) > most:
        raise UserError(
            f"{name} reads at most {most - 2} tokens of text (of about a short word each), and "
            f"--text {shown(text)} has {len(ids) - 2}. Pass fewer or shorter words."
        )
    if max(ids) >= config.vocab_size:
        raise UserError(
            f"The tokenizer of {name} knows more tokens than its text encoder, which has "
            f"{config.vocab_size}: they are of two networks. Copy both from the same source."
        )
    return torch.tensor([ids])


def _any_tokens(text: str, config: Any) -> list[int]:
    words = text.split()
    ids = [zlib.crc32(word.encode()) % (config.vocab_size - 2) for word in words]
    return [config.vocab_size - 2, *ids, config.vocab_size - 1]
