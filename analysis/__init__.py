"""What a study measures: splits, baselines, statistics and figures, out of a store and predictions."""
