//! Lines of a store's socket.

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "store_messages",
    run: tulle_store::read_any_message,
    words: &[
        "{\"get\":",
        "{\"list\":",
        "{\"put\":{\"object\":",
        "{\"watch\":",
        "\"from\":",
        "{\"error\":",
        "\"conflict\":",
        "\"version\":",
        "null",
        "18446744073709551616",
        "-1",
        "[]",
        "{}",
        "\"kinds\":",
        "\"origin\":{",
        "\\ud800",
    ],
};
