"""A run: its folder, its settings, its data, what trains, and what it leaves."""
