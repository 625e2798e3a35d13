"""Cases and probability maps to scores, comparisons and the words for them."""
