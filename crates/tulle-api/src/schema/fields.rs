//! Sorting the entries of a mapping into the fields of a record.

use tulle_base::nearest::nearest;

use super::{At, Context, Field, FieldInfo, Oneof, RecordInfo};
use crate::node::{Data, Entry, Node};

/// The entries of one mapping, sorted by the table of its record; read in the order of the listing.
#[derive(Debug)]
pub struct Fields<'n, 'a> {
    node: &'n Node,
    at: &'a At<'a>,
    info: &'static RecordInfo,
    own: Vec<Option<&'n Entry>>,
    groups: Vec<Vec<(usize, &'n Entry)>>,
    next_own: usize,
    next_group: usize,
}

impl<'n, 'a> Fields<'n, 'a> {
    /// Sorts the entries of `node`; reports unknown fields and what the table has to say about known ones.
    pub fn sort(
        node: &'n Node,
        at: &'a At<'a>,
        info: &'static RecordInfo,
        cx: &mut Context,
    ) -> Option<Fields<'n, 'a>> {
        let Data::Map(entries) = &node.data else {
            cx.wrong_type(node, at, "a mapping");
            return None;
        };
        let mut out = Fields {
            node,
            at,
            info,
            own: vec![None; info.fields.len()],
            groups: vec![Vec::new(); info.oneofs.len()],
            next_own: 0,
            next_group: 0,
        };
        for entry in entries {
            out.place(entry, cx);
        }
        Some(out)
    }

    fn place(&mut self, entry: &'n Entry, cx: &mut Context) {
        let here = self.at.field(&entry.key);
        if let Some(i) = find(self.info.fields, &entry.key) {
            self.note(&self.info.fields[i], entry, &here, cx);
            if let Some(first) = self.own[i] {
                let twice = format!("is the same field as {}, which is given too", first.key);
                cx.error(&entry.value, &here, twice, "keep one");
            }
            self.own[i] = Some(entry);
            return;
        }
        for (g, group) in self.info.oneofs.iter().enumerate() {
            if let Some(i) = find(group.members, &entry.key) {
                self.note(&group.members[i], entry, &here, cx);
                if !entry.value.is_null() {
                    self.groups[g].push((i, entry));
                }
                return;
            }
        }
        cx.unknown_field(entry.line, entry.column, &here, || suggestion(&entry.key, self.info));
    }

    fn note(&self, info: &FieldInfo, entry: &Entry, at: &At<'_>, cx: &mut Context) {
        if !entry.value.is_null() {
            cx.notice(entry.line, entry.column, at, info.notice);
        }
    }

    /// Reads the next field of the listing.
    pub fn next<T: Field>(&mut self, cx: &mut Context) -> Option<T> {
        let (info, entry) = self.step();
        if let Some(entry) = entry.filter(|entry| !entry.value.is_null()) {
            let here = self.at.field(&entry.key);
            let read = T::decode(&entry.value, &here, cx)?;
            if (info.not_empty || info.required) && read.is_absent() {
                emptied(info, entry, &here, cx);
                return None;
            }
            return Some(read);
        }
        let absent = T::absent();
        if info.required || absent.is_none() {
            self.missing(info, entry, cx);
            if !cx.is_fragment() {
                return None;
            }
        }
        absent
    }

    // What follows is the same for all types: apart, it is compiled once.

    #[inline(never)]
    fn step(&mut self) -> (&'static FieldInfo, Option<&'n Entry>) {
        let at = self.next_own;
        self.next_own += 1;
        (&self.info.fields[at], self.own[at])
    }

    #[inline(never)]
    fn missing(&self, info: &FieldInfo, entry: Option<&Entry>, cx: &mut Context) {
        let message = if entry.is_some() { "is required but empty" } else { "is required" };
        let place = entry.map_or(self.node, |e| &e.value);
        cx.error(place, &self.at.field(info.name), message, "");
    }

    /// Reads the next group of exclusive fields of the listing.
    pub fn next_oneof<T: Oneof>(&mut self, cx: &mut Context) -> Option<Option<T>> {
        let set = std::mem::take(&mut self.groups[self.next_group]);
        self.next_group += 1;
        exclusive(&set, self.at, cx)
    }
}

#[inline(never)]
fn emptied(info: &FieldInfo, entry: &Entry, at: &At<'_>, cx: &mut Context) {
    if info.not_empty {
        cx.error(&entry.value, at, "has no entry", "remove it or give it one");
    } else {
        cx.error(&entry.value, at, "is required but empty", "");
    }
}

/// Reads a mapping of which at most one field may be set; `Some(None)` if none is.
pub(crate) fn decode_oneof<T: Oneof>(node: &Node, at: &At<'_>, cx: &mut Context) -> Option<Option<T>> {
    let Data::Map(entries) = &node.data else {
        cx.wrong_type(node, at, "a mapping");
        return None;
    };
    let mut set = Vec::new();
    let mut ok = true;
    for entry in entries {
        match find(T::INFO.members, &entry.key) {
            Some(_) if entry.value.is_null() => {}
            Some(i) => set.push((i, entry)),
            None => {
                let fix = || {
                    let names = T::INFO.members.iter().map(|m| m.name).collect::<Vec<_>>();
                    nearest(&entry.key, names.iter().copied()).map_or_else(
                        || format!("write one of {}", names.join(", ")),
                        |n| format!("write {n}"),
                    )
                };
                cx.unknown_field(entry.line, entry.column, &at.field(&entry.key), fix);
                ok = !cx.failed();
            }
        }
    }
    let read = exclusive(&set, at, cx);
    if ok { read } else { None }
}

fn exclusive<T: Oneof>(set: &[(usize, &Entry)], at: &At<'_>, cx: &mut Context) -> Option<Option<T>> {
    let Some((&(index, first), others)) = set.split_first() else { return Some(None) };
    for (_, other) in others {
        let message = format!("cannot be set together with {}", first.key);
        cx.error(&other.value, &at.field(&other.key), message, "keep one of them");
    }
    let read = T::decode_member(index, &first.value, &at.field(&first.key), cx)?;
    others.is_empty().then_some(Some(read))
}

fn find(table: &[FieldInfo], key: &str) -> Option<usize> {
    table.iter().position(|f| f.name == key || f.alias == Some(key))
}

fn suggestion(key: &str, info: &'static RecordInfo) -> String {
    let names = info.fields.iter().chain(info.oneofs.iter().flat_map(|g| g.members)).map(|f| f.name);
    nearest(key, names.clone()).map_or_else(
        || {
            let known: Vec<_> = names.collect();
            if known.len() <= 12 { format!("known here: {}", known.join(", ")) } else { "remove it".into() }
        },
        |name| format!("did you mean {name}?"),
    )
}
