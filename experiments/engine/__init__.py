"""One cell computed: model, preparation, trials in blocks, calibration, result."""
