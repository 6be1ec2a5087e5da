//! Analysis of a whole configuration: what validation of one object cannot see. One analyzer per file.
