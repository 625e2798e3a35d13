"""What is wrong or odd with cases: unreadable, mismatched, double, on both sides of a split."""
