//! Metric names, labels, histograms and access log lines, decided in one place.
