"""`python -m gpsseg.predict`."""

from gpsseg.config.predict import PredictConfig
from gpsseg.console import NETWORKS, run_command
from gpsseg.predict import predict

if __name__ == "__main__":
    run_command(predict, PredictConfig, "predict", NETWORKS, shared_out=True)
