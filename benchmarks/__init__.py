"""The engine beside its peers on the same servers: `python -m benchmarks --help`, results in docs/benchmarks.md."""
