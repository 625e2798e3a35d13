"""`python -m gpsseg.compare`."""

from gpsseg.compare import compare
from gpsseg.config.compare import CompareConfig
from gpsseg.console import NETWORKS, run_command

if __name__ == "__main__":
    run_command(compare, CompareConfig, "compare", NETWORKS)
