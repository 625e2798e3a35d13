"""Data card -> cases -> checks -> splits -> batches."""
