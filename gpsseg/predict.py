"""`python -m gpsseg.predict`: masks for new images."""

from __future__ import annotations

from pathlib import Path

from gpsseg.config import PredictConfig
from gpsseg.console import progress, run_command, say
from gpsseg.errors import UserError
from gpsseg.files import make_folder


def predict(config: PredictConfig) -> list[Path]:
    """Write a mask for every image and return the masks' paths, in the images' order.

    Masks are 8-bit PNG of 0 and 255 at the image's native (upright) size.

    Raises:
        UserError: there is no image, a mask exists already, or an image cannot be read; images
            are checked before the first mask is written.
    """
    import numpy as np
    from PIL import Image

    from gpsseg import engine
    from gpsseg.data.cards import load_card
    from gpsseg.data.cases import Case
    from gpsseg.data.checks import check_cases
    from gpsseg.data.loader import CaseDataset, make_loader
    from gpsseg.machine import make_machine
    from gpsseg.prompts import Prompter, check_prompts, from_file, is_given, no_prompt
    from gpsseg.runs import load_run

    images = find_images(config.input)
    masks = [config.output / f"{image.stem}.png" for image in images]
    soft = [mask.with_name(f"{mask.stem}_probability.png") for mask in masks]
    planned = list(zip(images, masks, strict=True))
    if config.save_probabilities:
        planned += zip(images, soft, strict=True)
    _refuse_collisions(planned)
    trained, model = load_run(config.run)
    prompt = model.facts.prompt
    prompter: Prompter = no_prompt
    check_prompts(model, config.prompts)
    if config.prompts:
        prompter = from_file(config.prompts, prompt, images)
    elif is_given(prompt):
        raise UserError(
            f"This run needs a {prompt} for every image. Pass --prompts FILE, a CSV with a row "
            "for each (see --help)."
        )
    cases = [Case(image.stem, image) for image in images]
    check_cases(cases)
    machine = make_machine(config.device, trained.precision)
    model.to(machine.accelerator.device)
    assert trained.image_size is not None
    assert trained.batch_size is not None
    dataset = CaseDataset(cases, load_card(trained.dataset), trained.image_size)
    loader = make_loader(dataset, config.batch_size or trained.batch_size, trained.workers)
    make_folder(config.output)
    maps = engine.predict(model, loader, machine, prompter)
    for index, probability in progress(maps, "predicting", len(cases)):
        Image.fromarray((probability >= 0.5).astype(np.uint8) * 255).save(masks[index])
        if config.save_probabilities:
            Image.fromarray((probability * 255).round().astype(np.uint8)).save(soft[index])
    say(f"{len(masks)} masks written to {config.output}. Not for diagnostic use.")
    return masks


def find_images(path: Path) -> list[Path]:
    """Return the image itself, or the images directly in a folder, sorted by name.

    Raises:
        UserError: there is none.
    """
    from gpsseg.data.images import EXTENSIONS

    if path.is_file():
        return [path]
    if not path.exists():
        raise UserError(f"--input {path} does not exist. Pass an image, or a folder of images.")
    files = (file for file in path.iterdir() if file.suffix.lower() in EXTENSIONS)
    images = sorted(file for file in files if file.is_file() and not file.name.startswith("."))
    if not images:
        known = ", ".join(sorted(EXTENSIONS))
        raise UserError(f"--input {path} holds no image; expected files ending in {known}.")
    return images


def _refuse_collisions(planned: list[tuple[Path, Path]]) -> None:
    seen: dict[Path, Path] = {}
    for image, mask in planned:
        if mask in seen:
            raise UserError(
                f"{seen[mask].name} and {image.name} would both become {mask.name}. Rename one."
            )
        if mask.exists():
            raise UserError(
                f"{mask} exists already; gpsseg never overwrites. Name another --output."
            )
        seen[mask] = image


if __name__ == "__main__":
    run_command(predict, PredictConfig, "predict")
