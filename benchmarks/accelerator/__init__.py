"""Measurement of an accelerator: `python -m benchmarks.accelerator --output_dir=...`.

Each section is a module with a function `measurements(sizes)`, in the order of `plan.SECTIONS`.
A worker process makes them one after the other; another watches it, so that one that hangs or
dies costs its own row only.
"""
