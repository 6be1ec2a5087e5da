//! Words for messages.

/// The first few of `items`, and how many more there are: `a, b, c and 2 more`.
pub fn some_of<T: AsRef<str>>(items: &[T]) -> String {
    const SHOWN: usize = 4;
    let shown = items.iter().take(SHOWN).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(super::some_of(&["a"]), "a");
        assert_eq!(super::some_of(&["a", "b", "c", "d", "e", "f"]), "a, b, c, d and 2 more");
    }
}
