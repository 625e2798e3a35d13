"""How an option is marked that may be given several times, as in ``--run A --run B``."""

from __future__ import annotations

AGAIN = {"again": True}  # metadata of the field of a configuration
