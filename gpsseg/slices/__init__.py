"""`python -m gpsseg.slices`: volumes with masks -> pictures to train a 2-D network on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gpsseg.config.slices import SlicesConfig
from gpsseg.console import progress, say
from gpsseg.errors import SomeFailedError, UserError, counted
from gpsseg.faults import fault_of, stops_all
from gpsseg.files import write_rows
from gpsseg.folders import finish_folder, new_folder
from gpsseg.writing import remove_file, remove_folder

if TYPE_CHECKING:
    from gpsseg.data.checks.notices import MaskFacts


def cut(config: SlicesConfig) -> Path:
    """Write images/, masks/ and cases.csv, and return the table's path; see ``SlicesConfig``.

    Beside the table, slices.json says how they were cut, for the run that is trained on them.

    Raises:
        UserError: there is no volume, or one has no mask; nothing was written.
        SomeFailedError: some volumes cannot be read or do not fit their mask; the others are there.
    """
    from gpsseg.data.checks.notices import notices
    from gpsseg.data.checks.readable import first_of
    from gpsseg.data.formats.slicing import flat_note
    from gpsseg.runs.greys import save_cut
    from gpsseg.slices.cutting import cut_volume, greys_of_volumes
    from gpsseg.slices.pairing import pair_volumes

    failed: list[tuple[Path, str]] = []
    pairs = pair_volumes(config, failed)
    new_folder(config.output, config)
    for begun in ("images", "masks"):  # before a kill, perhaps of volumes that are gone since
        remove_folder(config.output / begun)
    greys = greys_of_volumes([image for image, _, _ in pairs], config)
    rows: list[dict[str, str]] = []
    seen: list[MaskFacts] = []
    flat: list[str] = []
    volumes = len(pairs) + len(failed)
    for image, mask, facts in progress(pairs, "cutting", len(pairs)):
        written: list[Path] = []
        try:
            rows += cut_volume(image, mask, facts, config, greys, written, seen, flat)
        except Exception as error:
            for path in written:  # half a volume is none
                remove_file(path)
            if stops_all(error):
                raise
            failed.append((image.path, fault_of(image.path, error)))
    _refuse_no_label(config, seen)
    for note in filter(None, (*notices(seen), flat_note(flat, config.axis))):
        say(note, style="yellow")
    table = config.output / "cases.csv"
    if rows:
        save_cut(table, greys)
        write_rows(table, rows)
        finish_folder(config.output)
        cut_up = counted(volumes - len(failed), "volume")
        listed = counted(len(rows), f"slice of {cut_up} is", f"slices of {cut_up} are")
        say(f"{listed} listed in {table}.")
    else:
        _remove(config.output)
    if failed:
        what = f"{len(failed)} of {counted(volumes, 'volume')} could not be cut"
        whys = first_of([(path.name, why) for path, why in failed])
        none = "" if rows else "; nothing was written"
        raise SomeFailedError(f"{what}{none}:\n{whys}", failed)
    if not rows:
        raise UserError(
            "No slice shows foreground, so with --skip-empty none is left. Leave it out."
        )
    return table


def _remove(output: Path) -> None:
    """Remove a folder that holds nothing but what this call wrote."""
    for path in sorted(output.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else remove_file(path)
    output.rmdir()


def _refuse_no_label(config: SlicesConfig, seen: Sequence[MaskFacts]) -> None:
    """Refuse --labels that no mask holds, and say which of them none holds.

    Raises:
        UserError: all masks are empty.
    """
    from gpsseg.data.formats.distinct import listed

    there = {number for each in seen for number in each.classes}
    lacking = [label for label in config.labels if label not in there]
    names = " ".join(map(str, lacking))
    held = sorted({value for each in seen for value in each.held})
    if seen and config.labels and not there:
        _remove(config.output)
        raise UserError(
            f"--labels {names}: none of {counted(len(seen), 'mask')} holds such a value; they "
            f"hold {listed(held)}. Name others, or leave --labels out for masks of two levels."
        )
    if seen and lacking:
        say(f"note: no mask holds the labels {names}.", style="yellow")
