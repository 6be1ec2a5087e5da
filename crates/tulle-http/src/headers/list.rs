//! The list of fields.

use super::{Known, NameRef, is_token, is_value};
use bytes::BytesMut;
use std::fmt;

/// Fields in order, with the name case in which they came.
///
/// All bytes are in one arena, each field as the line `name: value CR LF`; that makes writing a head that was not
/// changed one copy, and leaves nothing to free for each field. Removed and replaced lines stay in the arena until
/// [`HeaderList::clear`], which keeps the memory for the next message.
///
/// Lookups ignore the case of names. Values are bytes: most are ASCII, none holds CR, LF or NUL.
#[derive(Clone, Default)]
pub struct HeaderList {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    met: Met,
}

/// Which known names were added since the list was cleared, removed ones included: most lookups are for what is not there, and end
/// here.
#[derive(Clone, Copy, Default)]
struct Met(u128);

const _: () = assert!(Known::COUNT <= u128::BITS as usize);

impl Met {
    fn add(&mut self, known: Option<Known>) {
        if let Some(known) = known {
            self.0 |= 1 << known as u32;
        }
    }

    /// Whether a field may have that name: `false` is certain.
    fn may_have(self, name: NameRef<'_>) -> bool {
        name.known.is_none_or(|known| self.0 >> known as u32 & 1 == 1)
    }
}

#[derive(Clone, Copy)]
struct Entry {
    start: u32,
    name_len: u32,
    value_len: u32,
    known: Option<Known>,
    sensitive: bool,
}

impl Entry {
    fn name_end(&self) -> usize {
        self.start as usize + self.name_len as usize
    }
    fn value_start(&self) -> usize {
        self.name_end() + 2
    }
    fn value_end(&self) -> usize {
        self.value_start() + self.value_len as usize
    }
    fn line_end(&self) -> usize {
        self.value_end() + 2
    }
}

/// One field of a [`HeaderList`].
#[derive(Clone, Copy)]
pub struct Header<'a> {
    /// The name as it came (HTTP/1) or in lower case (HTTP/2). A token.
    pub name: &'a [u8],
    /// The value without surrounding white space.
    pub value: &'a [u8],
    /// The number of the name, if it has one.
    pub known: Option<Known>,
    /// The peer asked that no table of a compressor remembers it (RFC 7541 section 7.1.3).
    pub sensitive: bool,
}

impl<'a> Header<'a> {
    /// The name as text.
    #[must_use]
    pub fn name_str(&self) -> &'a str {
        std::str::from_utf8(self.name).unwrap_or_default()
    }

    /// The value as text, if it is UTF-8.
    #[must_use]
    pub fn value_str(&self) -> Option<&'a str> {
        std::str::from_utf8(self.value).ok()
    }
}

impl HeaderList {
    /// An empty list; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { arena: Vec::new(), entries: Vec::new(), met: Met(0) }
    }

    /// Removes every field and keeps the memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
        self.met = Met::default();
    }

    /// Removes every field, and gives the memory back if it is more than `keep` bytes.
    pub(crate) fn shrink(&mut self, keep: usize) {
        self.clear();
        if self.capacity() > keep {
            *self = Self::new();
        }
    }

    /// Bytes of memory held, used or not.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.arena.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// How many field lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No field at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The fields in order.
    #[must_use]
    pub fn iter(&self) -> Headers<'_> {
        Headers { list: self, entries: self.entries.iter() }
    }

    /// The value of the first field with that name.
    #[must_use]
    #[inline]
    pub fn get<'n>(&self, name: impl Into<NameRef<'n>>) -> Option<&[u8]> {
        let name = name.into();
        if !self.met.may_have(name) {
            return None;
        }
        self.entries.iter().find(|entry| self.is(entry, name)).map(|entry| self.value(entry))
    }

    /// [`HeaderList::get`] as text; `None` also where the value is not UTF-8.
    #[must_use]
    pub fn get_str<'n>(&self, name: impl Into<NameRef<'n>>) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The values of all fields with that name, in order.
    pub fn get_all<'a, 'n>(&'a self, name: impl Into<NameRef<'n>>) -> impl Iterator<Item = &'a [u8]> {
        let name = name.into();
        let entries = if self.met.may_have(name) { &self.entries[..] } else { &[] };
        entries.iter().filter(move |entry| self.is(entry, name)).map(|entry| self.value(entry))
    }

    /// Whether a field has that name.
    #[must_use]
    pub fn contains<'n>(&self, name: impl Into<NameRef<'n>>) -> bool {
        let name = name.into();
        self.met.may_have(name) && self.entries.iter().any(|entry| self.is(entry, name))
    }

    /// Whether one of the comma-separated items of the fields with that name is `item`, ignoring case: the question
    /// asked of `Connection`, `Upgrade`, `TE` and their like.
    #[must_use]
    pub fn lists<'n>(&self, name: impl Into<NameRef<'n>>, item: &str) -> bool {
        self.get_all(name).any(|value| {
            value.split(|b| *b == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(item.as_bytes()))
        })
    }

    /// Adds a field at the end. CR, LF, NUL and other control characters in the value become spaces, as RFC 9110
    /// section 5.5 asks; a name that is no token is not added (`false`).
    pub fn append<'n>(&mut self, name: impl Into<NameRef<'n>>, value: &[u8]) -> bool {
        let name = name.into();
        if name.known.is_none() && !is_token(name.text) {
            return false;
        }
        let value = value.trim_ascii();
        let from = self.arena.len();
        self.push_line(name.text, name.known, value, false);
        if !is_value(value) {
            let start = from + name.text.len() + 2;
            for byte in &mut self.arena[start..start + value.len()] {
                if (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f {
                    *byte = b' ';
                }
            }
        }
        true
    }

    /// Makes `value` the only value of that name: the first such field is replaced where it stands, the others are
    /// removed; appends where there was none. Cleans as [`HeaderList::append`] does.
    pub fn set<'n>(&mut self, name: impl Into<NameRef<'n>>, value: &[u8]) -> bool {
        let name = name.into();
        let Some(at) = self.position(name) else {
            return self.append(name, value);
        };
        if !self.append(name, value) {
            return false;
        }
        self.entries.swap_remove(at);
        // swap_remove has put the new line at the place of the first old one; drop the old ones behind it.
        let mut index = at + 1;
        while index < self.entries.len() {
            if self.is(&self.entries[index], name) {
                self.entries.remove(index);
            } else {
                index += 1;
            }
        }
        true
    }

    /// Appends `value` to the last field of that name after `", "` (`X-Forwarded-For` and its like), or adds the field.
    pub fn join<'n>(&mut self, name: impl Into<NameRef<'n>>, value: &[u8]) -> bool {
        let name = name.into();
        let Some(at) = self.entries.iter().rposition(|entry| self.is(entry, name)) else {
            return self.append(name, value);
        };
        let old = self.entries[at];
        let from = self.arena.len();
        self.arena.extend_from_within(old.start as usize..old.value_end());
        self.arena.extend_from_slice(b", ");
        let start = self.arena.len();
        self.arena.extend(value.trim_ascii().iter().map(|b| if is_value(&[*b]) { *b } else { b' ' }));
        let end = self.arena.len();
        self.arena.extend_from_slice(b"\r\n");
        let value_len = old.value_len + 2 + offset(end - start);
        self.entries[at] = Entry { start: offset(from), value_len, ..old };
        true
    }

    /// Removes all fields of that name; whether there were any.
    pub fn remove<'n>(&mut self, name: impl Into<NameRef<'n>>) -> bool {
        let name = name.into();
        if !self.met.may_have(name) {
            return false;
        }
        let before = self.entries.len();
        let Self { arena, entries, met: _ } = self;
        entries.retain(|entry| !is(arena, entry, name));
        entries.len() < before
    }

    /// Keeps the fields for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(Header<'_>) -> bool) {
        let Self { arena, entries, met: _ } = self;
        entries.retain(|entry| keep(header(arena, entry)));
    }

    /// Copies every field of `other` to the end of this list.
    pub fn extend(&mut self, other: &HeaderList) {
        self.entries.reserve(other.entries.len());
        for entry in &other.entries {
            let from = self.arena.len();
            self.arena.extend_from_slice(&other.arena[entry.start as usize..entry.line_end()]);
            self.entries.push(Entry { start: offset(from), ..*entry });
            self.met.add(entry.known);
        }
    }

    /// Bytes of names and values plus `per_field` for each line: the size that limits are about.
    #[must_use]
    pub fn size(&self, per_field: usize) -> usize {
        self.entries.iter().map(|entry| entry.name_len as usize + entry.value_len as usize + per_field).sum()
    }

    /// Adds a line that a parser has checked.
    pub(crate) fn push_line(&mut self, name: &[u8], known: Option<Known>, value: &[u8], sensitive: bool) {
        let start = offset(self.arena.len());
        self.arena.reserve(name.len() + value.len() + 4);
        self.arena.extend_from_slice(name);
        self.arena.extend_from_slice(b": ");
        self.arena.extend_from_slice(value);
        self.arena.extend_from_slice(b"\r\n");
        let (name_len, value_len) = (offset(name.len()), offset(value.len()));
        self.entries.push(Entry { start, name_len, value_len, known, sensitive });
        self.met.add(known);
    }

    /// Copies whole lines to the arena and returns where; [`HeaderList::push_adopted`] makes fields of them.
    pub(crate) fn adopt_block(&mut self, block: &[u8]) -> usize {
        let base = self.arena.len();
        self.arena.extend_from_slice(block);
        base
    }

    /// Adds a field whose line `name: value CR LF` is in the arena at `start`.
    pub(crate) fn push_adopted(
        &mut self,
        start: usize,
        name_len: usize,
        value_len: usize,
        known: Option<Known>,
        sensitive: bool,
    ) {
        let (start, name_len, value_len) = (offset(start), offset(name_len), offset(value_len));
        self.entries.push(Entry { start, name_len, value_len, known, sensitive });
        self.met.add(known);
    }

    /// Removes the first `count` fields.
    pub(crate) fn drop_front(&mut self, count: usize) {
        self.entries.drain(..count);
    }

    /// Makes one `Cookie` of several (RFC 9113 section 8.2.3).
    pub(crate) fn join_cookies(&mut self) {
        let all = self.get_all(Known::Cookie).collect::<Vec<_>>().join(&b"; "[..]);
        self.set(Known::Cookie, &all);
    }

    /// The arena, for a decoder that writes lines straight into it.
    pub(crate) fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.arena
    }

    /// Bytes that [`HeaderList::write_lines`] writes at most.
    pub(crate) fn line_bytes(&self) -> usize {
        self.size(4)
    }

    /// Appends the fields as lines, without those with a known name that `skip` names. Neighbours go in one copy.
    pub(crate) fn write_lines(&self, out: &mut BytesMut, skip: impl Fn(Known) -> bool) {
        let mut run = 0..0;
        for entry in &self.entries {
            if entry.known.is_some_and(&skip) {
                continue;
            }
            if entry.start as usize != run.end {
                out.extend_from_slice(&self.arena[run]);
                run = entry.start as usize..0;
            }
            run.end = entry.line_end();
        }
        out.extend_from_slice(&self.arena[run]);
    }

    /// The place of the first field with that name.
    fn position(&self, name: NameRef<'_>) -> Option<usize> {
        let at = || self.entries.iter().position(|entry| self.is(entry, name));
        self.met.may_have(name).then(at).flatten()
    }

    fn is(&self, entry: &Entry, name: NameRef<'_>) -> bool {
        is(&self.arena, entry, name)
    }

    fn value(&self, entry: &Entry) -> &[u8] {
        &self.arena[entry.value_start()..entry.value_end()]
    }
}

#[inline]
fn is(arena: &[u8], entry: &Entry, name: NameRef<'_>) -> bool {
    match (entry.known, name.known) {
        (Some(a), Some(b)) => a == b,
        (None, None) => arena[entry.start as usize..entry.name_end()].eq_ignore_ascii_case(name.text),
        _ => false,
    }
}

fn header<'a>(arena: &'a [u8], entry: &Entry) -> Header<'a> {
    Header {
        name: &arena[entry.start as usize..entry.name_end()],
        value: &arena[entry.value_start()..entry.value_end()],
        known: entry.known,
        sensitive: entry.sensitive,
    }
}

fn offset(value: usize) -> u32 {
    u32::try_from(value).expect("limits on heads keep the arena far below 4 GiB")
}

/// The fields of a [`HeaderList`] in order.
pub struct Headers<'a> {
    list: &'a HeaderList,
    entries: std::slice::Iter<'a, Entry>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.entries.next().map(|entry| header(&self.list.arena, entry))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl ExactSizeIterator for Headers<'_> {}

impl<'a> IntoIterator for &'a HeaderList {
    type Item = Header<'a>;
    type IntoIter = Headers<'a>;

    fn into_iter(self) -> Headers<'a> {
        self.iter()
    }
}

/// Equal when the same names (ignoring case) and values stand in the same order.
impl PartialEq for HeaderList {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().zip(other).all(|(a, b)| a.name.eq_ignore_ascii_case(b.name) && a.value == b.value)
    }
}

impl Eq for HeaderList {}

impl fmt::Debug for HeaderList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Values of sensitive fields and of those that carry credentials are not shown.
impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Known::{Authorization, Cookie, ProxyAuthorization, SetCookie};
        let secret = self.sensitive
            || matches!(self.known, Some(Authorization | Cookie | ProxyAuthorization | SetCookie));
        let value = if secret { "(not shown)".into() } else { String::from_utf8_lossy(self.value) };
        write!(f, "{}: {value}", self.name_str())
    }
}

impl<'n> FromIterator<(&'n str, &'n str)> for HeaderList {
    fn from_iter<T: IntoIterator<Item = (&'n str, &'n str)>>(fields: T) -> Self {
        let mut list = Self::new();
        for (name, value) in fields {
            list.append(name, value.as_bytes());
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HeaderName;

    fn list() -> HeaderList {
        [("Accept", "a"), ("X-One", "1"), ("accept", "b"), ("x-one", "2"), ("Content-Type", "text/plain")]
            .into_iter()
            .collect()
    }

    fn text(list: &HeaderList) -> String {
        list.iter().map(|h| format!("{}={};", h.name_str(), h.value_str().unwrap())).collect()
    }

    #[test]
    fn lookups_ignore_case() {
        let list = list();
        assert_eq!(list.get("ACCEPT"), Some(&b"a"[..]));
        assert_eq!(list.get(Known::ContentType), Some(&b"text/plain"[..]));
        assert_eq!(list.get(&HeaderName::new("x-ONE").unwrap()), Some(&b"1"[..]));
        assert_eq!(list.get_all("x-one").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(list.get("none"), None);
        assert!(list.contains("x-one") && !list.contains(Known::Host));
    }

    #[test]
    fn set_replaces_in_place_and_keeps_order() {
        let mut list = list();
        list.set("x-one", b"3");
        assert_eq!(text(&list), "Accept=a;x-one=3;accept=b;Content-Type=text/plain;");
        list.set(Known::Accept, b"c");
        assert_eq!(text(&list), "accept=c;x-one=3;Content-Type=text/plain;");
        list.set("new", b"n");
        assert_eq!(text(&list), "accept=c;x-one=3;Content-Type=text/plain;new=n;");
    }

    #[test]
    fn remove_and_retain() {
        let mut list = list();
        assert!(list.remove("ACCEPT"));
        assert!(!list.remove("accept"));
        list.retain(|h| h.value != b"2");
        assert_eq!(text(&list), "X-One=1;Content-Type=text/plain;");
    }

    #[test]
    fn join_appends_to_the_last_line() {
        let mut list = list();
        list.join("x-one", b"3\r\n4");
        list.join(Known::XForwardedFor, b"10.0.0.1");
        list.join(Known::XForwardedFor, b"10.0.0.2");
        assert_eq!(list.get_all("x-one").collect::<Vec<_>>(), [&b"1"[..], b"2, 3  4"]);
        assert_eq!(list.get(Known::XForwardedFor), Some(&b"10.0.0.1, 10.0.0.2"[..]));
    }

    #[test]
    fn values_cannot_split_a_message() {
        let mut list = HeaderList::new();
        assert!(list.append("a", b"b\r\nc: d\0"));
        assert_eq!(list.get("a"), Some(&b"b  c: d "[..]));
        assert!(!list.append("a\r\nb", b"c"));
        assert!(!list.append("", b"c"));
    }

    #[test]
    fn lists_finds_items() {
        let list: HeaderList =
            [("Connection", "keep-alive, Upgrade"), ("connection", "x")].into_iter().collect();
        assert!(list.lists(Known::Connection, "upgrade") && list.lists(Known::Connection, "X"));
        assert!(!list.lists(Known::Connection, "keep"));
    }

    #[test]
    fn secrets_are_not_debugged() {
        let list: HeaderList = [("Authorization", "Bearer x"), ("a", "b")].into_iter().collect();
        assert_eq!(format!("{list:?}"), "[Authorization: (not shown), a: b]");
    }
}
