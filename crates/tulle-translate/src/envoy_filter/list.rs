//! Lists whose elements have an order: filters and routes.

use tulle_mesh::envoy_filter::{FilterClass, Operation};

/// Applies an operation other than MERGE to `list`; whether anything was done. `matches` picks elements, if the patch names
/// one at all; `end` is where what is added goes.
pub(super) fn apply<T>(
    list: &mut Vec<T>,
    operation: Operation,
    value: Option<T>,
    matches: Option<&dyn Fn(&T) -> bool>,
    end: impl Fn(&[T], FilterClass) -> usize,
) -> bool {
    let found = matches.and_then(|m| list.iter().position(m));
    if operation == Operation::Remove {
        // What to remove must be said.
        let Some(matches) = matches else { return false };
        let before = list.len();
        list.retain(|e| !matches(e));
        return list.len() < before;
    }
    let Some(value) = value else { return false };
    let at = match operation {
        Operation::Add(class) => end(list, class),
        Operation::InsertFirst => 0,
        Operation::InsertBefore if matches.is_none() => 0,
        Operation::InsertAfter if matches.is_none() => end(list, FilterClass::Unspecified),
        Operation::InsertBefore | Operation::InsertAfter | Operation::Replace => match found {
            Some(at) if operation == Operation::InsertAfter => at + 1,
            Some(at) => at,
            None => return false,
        },
        Operation::Merge { .. } | Operation::Remove => return false,
    };
    if operation == Operation::Replace {
        list[at] = value;
    } else {
        list.insert(at, value);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(operation: Operation, named: Option<&str>) -> String {
        let mut list: Vec<&str> = vec!["a", "b", "c", "b"];
        let matches = |e: &&str| Some(*e) == named;
        let matches: Option<&dyn Fn(&&str) -> bool> = if named.is_some() { Some(&matches) } else { None };
        let before_the_last = |l: &[&str], _| l.len() - 1;
        if !apply(&mut list, operation, Some("X"), matches, before_the_last) {
            return "-".to_owned();
        }
        list.concat()
    }

    #[test]
    fn each_operation_finds_its_place() {
        use FilterClass::Unspecified;
        for (operation, named, expected) in [
            (Operation::Add(Unspecified), None, "abcXb"),
            (Operation::InsertFirst, None, "Xabcb"),
            (Operation::InsertFirst, Some("c"), "Xabcb"),
            (Operation::InsertBefore, None, "Xabcb"),
            (Operation::InsertBefore, Some("b"), "aXbcb"),
            (Operation::InsertBefore, Some("z"), "-"),
            (Operation::InsertAfter, None, "abcXb"),
            (Operation::InsertAfter, Some("b"), "abXcb"),
            (Operation::InsertAfter, Some("z"), "-"),
            (Operation::Replace, Some("b"), "aXcb"),
            (Operation::Replace, Some("z"), "-"),
            (Operation::Remove, Some("b"), "ac"),
            (Operation::Remove, Some("z"), "-"),
            (Operation::Remove, None, "-"),
            (Operation::Merge { replace_lists: false }, Some("b"), "-"),
        ] {
            assert_eq!(done(operation, named), expected, "{operation:?} {named:?}");
        }
        // Nothing is named, so nothing is replaced.
        assert_eq!(done(Operation::Replace, None), "-");
    }
}
