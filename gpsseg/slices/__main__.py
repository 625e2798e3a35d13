"""`python -m gpsseg.slices`."""

from gpsseg.config.slices import SlicesConfig
from gpsseg.console import run_command
from gpsseg.slices import cut

if __name__ == "__main__":
    run_command(cut, SlicesConfig, "slices")
