"""The leakage audit: which crystals the experts have seen before."""
