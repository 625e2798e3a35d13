"""`python -m gpsseg.export`."""

from gpsseg.config.export import ExportConfig
from gpsseg.console import NETWORKS, run_command
from gpsseg.export import export

if __name__ == "__main__":
    run_command(export, ExportConfig, "export", NETWORKS)
