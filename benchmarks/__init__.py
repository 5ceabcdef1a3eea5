"""Speed of training, ours beside others; `python -m benchmarks --help`."""
