"""Train and run a network: loop, loss, prompts, inference, machine, resume point."""
