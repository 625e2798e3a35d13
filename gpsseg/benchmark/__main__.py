"""`python -m gpsseg.benchmark`."""

from gpsseg.benchmark import benchmark
from gpsseg.config.benchmark import BenchmarkConfig
from gpsseg.console import run_command

if __name__ == "__main__":
    run_command(benchmark, BenchmarkConfig, "benchmark")
