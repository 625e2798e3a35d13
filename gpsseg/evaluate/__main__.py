"""`python -m gpsseg.evaluate`."""

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.console import run_command
from gpsseg.evaluate import evaluate

if __name__ == "__main__":
    run_command(evaluate, EvaluateConfig, "evaluate", shared_out=True)
