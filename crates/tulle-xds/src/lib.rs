//! State-of-the-world and delta xDS over one subscription core.
