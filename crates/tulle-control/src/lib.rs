//! The control plane's wiring: watch, snapshot, translate, push.
