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
