"""Drawn images with known masks, in the layouts of the real sets."""
