"""Data cards and tables: what a set is, and where its files lie."""
