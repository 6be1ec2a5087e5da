//! Resources behind one trait, with versions and watch.
