"""`python -m gpsseg.study`."""

from gpsseg.config.study import StudyConfig
from gpsseg.console import NETWORKS, run_command
from gpsseg.study import study

if __name__ == "__main__":
    run_command(study, StudyConfig, "study", NETWORKS)
