//! The conditions of rules above, arranged so that the one that takes a request away is found without asking all of them.

use std::collections::HashMap;

use tulle_api::istio::HttpMatchRequest;

use super::matches::{Bound, Implication, Text};

/// Conditions without a plain path that are compared one by one; further ones are not looked at.
const MAX_OTHERS: usize = 500;

/// Conditions in the order in which they are asked, each with what the caller wants to know of it.
#[derive(Debug)]
pub struct Earlier<'a, T> {
    all: Vec<(Bound<'a>, T)>,
    exact: HashMap<String, Vec<usize>>,
    prefix: HashMap<String, Vec<usize>>,
    others: Vec<usize>,
}

impl<T> Default for Earlier<'_, T> {
    fn default() -> Self {
        Self { all: Vec::new(), exact: HashMap::new(), prefix: HashMap::new(), others: Vec::new() }
    }
}

impl<'a, T> Earlier<'a, T> {
    /// Adds a condition below those that are there.
    pub fn push(&mut self, bound: Bound<'a>, tag: T) {
        let at = self.all.len();
        match path(bound.matched) {
            Some(Text::Exact(text)) => self.exact.entry(text.into_owned()).or_default().push(at),
            Some(Text::Prefix(text)) => self.prefix.entry(text.into_owned()).or_default().push(at),
            _ if self.others.len() < MAX_OTHERS => self.others.push(at),
            _ => {}
        }
        self.all.push((bound, tag));
    }

    /// The first condition that holds for everything for which `narrow` holds.
    pub fn covering(&self, implication: &mut Implication, narrow: &Bound<'_>) -> Option<&T> {
        let mut candidates: Vec<usize> = self.others.clone();
        let text = match path(narrow.matched) {
            Some(Text::Exact(text)) => {
                candidates.extend(self.exact.get(&*text).into_iter().flatten());
                Some(text)
            }
            Some(Text::Prefix(text)) => Some(text),
            _ => None,
        };
        if let Some(text) = text {
            let ends = text.char_indices().map(|(i, c)| i + c.len_utf8());
            candidates.extend(ends.filter_map(|end| self.prefix.get(&text[..end])).flatten());
        }
        candidates.sort_unstable();
        let found = candidates.into_iter().find(|i| implication.request(&self.all[*i].0, narrow));
        found.map(|i| &self.all[i].1)
    }
}

/// The path that a condition asks for, if case matters.
fn path(matched: &HttpMatchRequest) -> Option<Text<'_>> {
    (matched.ignore_uri_case != Some(true)).then(|| Text::of_path(matched.uri.as_ref()))
}

#[cfg(test)]
mod tests {
    use tulle_api::istio::StringMatch;

    use super::*;

    /// A list of routes such as big gateways have: exact paths, prefixes, and some expressions.
    fn conditions(count: usize) -> Vec<HttpMatchRequest> {
        let uri = |i: usize| match i % 4 {
            0 => StringMatch::Exact(format!("/exact/{i}")),
            1 => StringMatch::Prefix(format!("/prefix/{i}/")),
            2 => StringMatch::Prefix(format!("/prefix/{}/below/{i}", i - 1)),
            _ => StringMatch::Regex(format!("/expression/{i}/.*")),
        };
        (0..count).map(|i| HttpMatchRequest { uri: Some(uri(i)), ..Default::default() }).collect()
    }

    fn comparisons(count: usize) -> (usize, u64) {
        let inherited = ["mesh".to_owned()];
        let conditions = conditions(count);
        let (mut implication, mut earlier) = (Implication::default(), Earlier::default());
        let mut covered = 0;
        for (i, matched) in conditions.iter().enumerate() {
            let bound = Bound { matched, inherited: &inherited };
            covered += usize::from(earlier.covering(&mut implication, &bound).is_some());
            earlier.push(bound, i);
        }
        (covered, implication.asked())
    }

    #[test]
    fn a_longer_list_takes_in_proportion() {
        let (small, large) = (comparisons(2_000), comparisons(8_000));
        assert_eq!((small.0, large.0), (500, 2_000), "every third kind lies below the second");
        assert!(large.1 <= small.1 * 5, "{small:?} {large:?}");
    }

    #[test]
    fn the_first_that_covers_is_named() {
        let inherited = ["mesh".to_owned()];
        let all = [
            StringMatch::Prefix("/a/b".into()),
            StringMatch::Prefix("/a".into()),
            StringMatch::Exact("/a/b/c".into()),
        ]
        .map(|uri| HttpMatchRequest { uri: Some(uri), ..Default::default() });
        let bound = |matched| Bound { matched, inherited: &inherited };
        let mut earlier = Earlier::default();
        earlier.push(bound(&all[0]), 0);
        earlier.push(bound(&all[1]), 1);
        assert_eq!(earlier.covering(&mut Implication::default(), &bound(&all[2])), Some(&0));
        assert_eq!(earlier.covering(&mut Implication::default(), &bound(&HttpMatchRequest::default())), None);
    }
}
