"""`python -m gpsseg.demo`."""

from gpsseg.config.demo import DemoConfig
from gpsseg.console import run_command
from gpsseg.demo import demo

if __name__ == "__main__":
    run_command(demo, DemoConfig, "demo")
