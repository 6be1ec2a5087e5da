//! The `tulle` command.

fn main() {}
