"""The benchmark harness. `Benchmarks/run` is the command, README.md the method."""
