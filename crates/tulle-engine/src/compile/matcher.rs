//! Matchers.

use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};
use tulle_proto::envoy::{kind, matcher, route};

use super::context::{At, Context, UNSUPPORTED};
use super::value::text;
use crate::runtime::matcher::{
    CookieMatcher, FullRegex, HeaderKey, HeaderMatcher, HeaderName, HeaderPredicate, MetadataMatcher,
    QueryMatcher, RegexSubstitution, ReplacementPart, StringMatcher, ValueMatcher,
};

pub(super) fn header_key(cx: &mut Context<'_>, at: &At<'_>, name: &str) -> Option<HeaderKey> {
    HeaderKey::new(name).map_err(|error| cx.refuse(at, error.to_string())).ok()
}

pub(super) fn header_name(cx: &mut Context<'_>, at: &At<'_>, name: &str) -> Option<HeaderName> {
    HeaderName::new(name).map_err(|error| cx.refuse(at, error.to_string())).ok()
}

pub(super) fn string(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &matcher::StringMatcher,
) -> Option<StringMatcher> {
    use matcher::string_matcher::MatchPattern;
    let matcher::StringMatcher { ignore_case, match_pattern } = message;
    let Some(pattern) = match_pattern else {
        cx.refuse(at, "needs exact, prefix, suffix, contains or safe_regex");
        return None;
    };
    let lower = |text: &str| Arc::from(text.to_ascii_lowercase());
    let non_empty = |cx: &mut Context<'_>, name: &str, pattern: &str| {
        if pattern.is_empty() {
            cx.refuse(&at.field(name), "must not be empty");
        }
        !pattern.is_empty()
    };
    Some(match (pattern, *ignore_case) {
        (MatchPattern::Exact(p), false) => StringMatcher::Exact(text(p)),
        (MatchPattern::Exact(p), true) => StringMatcher::ExactNoCase(lower(p)),
        (MatchPattern::Prefix(p), _) if !non_empty(cx, "prefix", p) => return None,
        (MatchPattern::Prefix(p), false) => StringMatcher::Prefix(text(p)),
        (MatchPattern::Prefix(p), true) => StringMatcher::PrefixNoCase(lower(p)),
        (MatchPattern::Suffix(p), _) if !non_empty(cx, "suffix", p) => return None,
        (MatchPattern::Suffix(p), false) => StringMatcher::Suffix(text(p)),
        (MatchPattern::Suffix(p), true) => StringMatcher::SuffixNoCase(lower(p)),
        (MatchPattern::Contains(p), _) if !non_empty(cx, "contains", p) => return None,
        (MatchPattern::Contains(p), false) => StringMatcher::Contains(text(p)),
        (MatchPattern::Contains(p), true) => StringMatcher::ContainsNoCase(lower(p)),
        (MatchPattern::SafeRegex(regex), ignore_case) => {
            let at = at.field("safe_regex");
            if ignore_case {
                cx.note(&at, "ignore_case does not change a regular expression; write (?i) in it");
            }
            StringMatcher::Regex(full_regex(cx, &at, regex)?)
        }
        (MatchPattern::Custom(_), _) => {
            cx.refuse(&at.field("custom"), UNSUPPORTED);
            return None;
        }
    })
}

pub(super) fn full_regex(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &matcher::RegexMatcher,
) -> Option<FullRegex> {
    let source = regex_source(cx, at, message);
    full(cx, &at.field("regex"), source)
}

/// A regular expression that must match the whole text.
pub(super) fn full(cx: &mut Context<'_>, at: &At<'_>, source: &str) -> Option<FullRegex> {
    // Checked alone first, so that `a)|(b` cannot slip out of the group.
    build(cx, at, source)?;
    let regex = build(cx, at, &format!(r"\A(?:{source})\z"))?;
    Some(FullRegex { source: text(source), regex })
}

fn regex_source<'m>(cx: &mut Context<'_>, at: &At<'_>, message: &'m matcher::RegexMatcher) -> &'m str {
    use matcher::regex_matcher::{EngineType, GoogleRe2};
    let matcher::RegexMatcher { regex, engine_type } = message;
    if let Some(EngineType::GoogleRe2(GoogleRe2 { max_program_size: Some(_) })) = engine_type {
        cx.note(
            &at.field("google_re2").field("max_program_size"),
            "expressions here are limited to 1 MiB once compiled",
        );
    }
    if regex.is_empty() {
        cx.refuse(&at.field("regex"), "must not be empty");
    }
    regex
}

fn build(cx: &mut Context<'_>, at: &At<'_>, source: &str) -> Option<Regex> {
    let built = |unicode: bool| {
        RegexBuilder::new(source).unicode(unicode).size_limit(1 << 20).dfa_size_limit(1 << 20).build()
    };
    // Bytes, as long as the expression does not name characters beyond them (`\pL`).
    match built(false).or_else(|error| built(true).map_err(|_| error)) {
        Ok(regex) => Some(regex),
        Err(error) => {
            let reason = error.to_string();
            let last = reason.lines().last().unwrap_or_default().trim();
            cx.refuse(at, format!("{source:?} is not a regular expression: {last}"));
            None
        }
    }
}

pub(super) fn substitution(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &matcher::RegexMatchAndSubstitute,
) -> Option<RegexSubstitution> {
    let matcher::RegexMatchAndSubstitute { pattern, substitution } = message;
    let pattern_at = at.field("pattern");
    let pattern = cx.required(&pattern_at, pattern.as_ref())?;
    let source = regex_source(cx, &pattern_at, pattern);
    let regex = build(cx, &pattern_at.field("regex"), source)?;
    let at = at.field("substitution");
    if substitution.contains(['\n', '\r', '\0']) {
        cx.refuse(&at, "must not hold control characters");
        return None;
    }
    let mut replacement = Vec::new();
    let mut literal = String::new();
    let mut chars = substitution.chars();
    while let Some(c) = chars.next() {
        match (c, (c == '\\').then(|| chars.next()).flatten()) {
            ('\\', Some('\\')) => literal.push('\\'),
            ('\\', Some(digit)) if digit.is_ascii_digit() => {
                let group = digit.to_digit(10).unwrap_or(0) as usize;
                if group >= regex.captures_len() {
                    cx.refuse(&at, format!("\\{group} names a group that the pattern does not have"));
                    return None;
                }
                if !literal.is_empty() {
                    replacement.push(ReplacementPart::Text(std::mem::take(&mut literal).into()));
                }
                replacement.push(ReplacementPart::Group(group));
            }
            ('\\', _) => {
                cx.refuse(&at, "a backslash must be followed by a digit or a backslash");
                return None;
            }
            (c, _) => literal.push(c),
        }
    }
    if !literal.is_empty() {
        replacement.push(ReplacementPart::Text(literal.into()));
    }
    Some(RegexSubstitution { regex, replacement })
}

pub(super) fn headers(
    cx: &mut Context<'_>,
    at: &At<'_>,
    list: &[route::HeaderMatcher],
) -> Vec<HeaderMatcher> {
    list.iter().enumerate().filter_map(|(i, message)| header(cx, &at.index(i), message)).collect()
}

pub(super) fn header(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &route::HeaderMatcher,
) -> Option<HeaderMatcher> {
    use route::header_matcher::HeaderMatchSpecifier as Spec;
    let route::HeaderMatcher { name, invert_match, treat_missing_header_as_empty, header_match_specifier } =
        message;
    let key = header_key(cx, &at.field("name"), name)?;
    let value = |matcher| Some(HeaderPredicate::Value(matcher));
    let predicate = match header_match_specifier {
        None | Some(Spec::PresentMatch(true)) => Some(HeaderPredicate::Present),
        Some(Spec::PresentMatch(false)) => Some(HeaderPredicate::Absent),
        Some(Spec::ExactMatch(text_)) => value(StringMatcher::Exact(text(text_))),
        Some(Spec::PrefixMatch(text_)) => value(StringMatcher::Prefix(text(text_))),
        Some(Spec::SuffixMatch(text_)) => value(StringMatcher::Suffix(text(text_))),
        Some(Spec::ContainsMatch(text_)) => value(StringMatcher::Contains(text(text_))),
        Some(Spec::SafeRegexMatch(regex)) => full_regex(cx, &at.field("safe_regex_match"), regex)
            .map(|regex| HeaderPredicate::Value(StringMatcher::Regex(regex))),
        Some(Spec::StringMatch(matcher)) => {
            string(cx, &at.field("string_match"), matcher).map(HeaderPredicate::Value)
        }
        Some(Spec::RangeMatch(kind::Int64Range { start, end })) => {
            Some(HeaderPredicate::Range { start: *start, end: *end })
        }
    }?;
    Some(HeaderMatcher {
        name: key,
        predicate,
        invert: *invert_match,
        missing_is_empty: *treat_missing_header_as_empty,
    })
}

pub(super) fn query(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &route::QueryParameterMatcher,
) -> Option<QueryMatcher> {
    use route::query_parameter_matcher::QueryParameterMatchSpecifier as Spec;
    let route::QueryParameterMatcher { name, query_parameter_match_specifier } = message;
    if name.is_empty() {
        cx.refuse(&at.field("name"), "must not be empty");
    }
    let value = match query_parameter_match_specifier {
        None | Some(Spec::PresentMatch(true)) => None,
        Some(Spec::PresentMatch(false)) => {
            cx.refuse(&at.field("present_match"), "false is not supported");
            return None;
        }
        Some(Spec::StringMatch(matcher)) => Some(string(cx, &at.field("string_match"), matcher)?),
    };
    Some(QueryMatcher { name: text(name), value })
}

pub(super) fn cookie(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &route::CookieMatcher,
) -> Option<CookieMatcher> {
    let route::CookieMatcher { name, string_match, invert_match } = message;
    if name.is_empty() {
        cx.refuse(&at.field("name"), "must not be empty");
    }
    let at = at.field("string_match");
    let matcher = cx.required(&at, string_match.as_ref())?;
    Some(CookieMatcher { name: text(name), value: string(cx, &at, matcher)?, invert: *invert_match })
}

pub(super) fn metadata(
    cx: &mut Context<'_>,
    at: &At<'_>,
    message: &matcher::MetadataMatcher,
) -> Option<MetadataMatcher> {
    use matcher::metadata_matcher::{PathSegment, path_segment::Segment};
    let matcher::MetadataMatcher { filter, path, value, invert } = message;
    if filter.is_empty() {
        cx.refuse(&at.field("filter"), "must not be empty");
    }
    let steps: Vec<Arc<str>> = path
        .iter()
        .filter_map(|PathSegment { segment }| segment.as_ref().map(|Segment::Key(key)| text(key)))
        .collect();
    if steps.is_empty() || steps.len() != path.len() {
        cx.refuse(&at.field("path"), "needs at least one segment, each with a key");
    }
    let at = at.field("value");
    let value = cx.required(&at, value.as_ref())?;
    Some(MetadataMatcher {
        filter: text(filter),
        path: steps,
        value: self::value(cx, &at, value)?,
        invert: *invert,
    })
}

fn value(cx: &mut Context<'_>, at: &At<'_>, message: &matcher::ValueMatcher) -> Option<ValueMatcher> {
    use matcher::value_matcher::{MatchPattern, NullMatch};
    let matcher::ValueMatcher { match_pattern } = message;
    cx.deeper(at, |cx| match match_pattern {
        Some(MatchPattern::NullMatch(NullMatch {})) => Some(ValueMatcher::Null),
        Some(MatchPattern::DoubleMatch(matcher::DoubleMatcher { match_pattern })) => {
            use matcher::double_matcher::MatchPattern as Double;
            match match_pattern {
                Some(Double::Exact(n)) => Some(ValueMatcher::Number(*n)),
                Some(Double::Range(kind::DoubleRange { start, end })) => {
                    Some(ValueMatcher::NumberRange { start: *start, end: *end })
                }
                None => {
                    cx.refuse(&at.field("double_match"), "needs exact or range");
                    None
                }
            }
        }
        Some(MatchPattern::StringMatch(m)) => {
            string(cx, &at.field("string_match"), m).map(ValueMatcher::String)
        }
        Some(MatchPattern::BoolMatch(b)) => Some(ValueMatcher::Bool(*b)),
        Some(MatchPattern::PresentMatch(b)) => Some(ValueMatcher::Present(*b)),
        Some(MatchPattern::ListMatch(list)) => {
            let matcher::ListMatcher { match_pattern } = list.as_ref();
            let at = at.field("list_match");
            match match_pattern {
                Some(matcher::list_matcher::MatchPattern::OneOf(inner)) => {
                    value(cx, &at.field("one_of"), inner).map(|m| ValueMatcher::OneOf(Box::new(m)))
                }
                None => {
                    cx.refuse(&at, "needs one_of");
                    None
                }
            }
        }
        Some(MatchPattern::OrMatch(matcher::OrMatcher { value_matchers })) => {
            let at = at.field("or_match");
            let at = at.field("value_matchers");
            let mut any = Vec::with_capacity(value_matchers.len());
            for (index, inner) in value_matchers.iter().enumerate() {
                any.push(value(cx, &at.index(index), inner)?);
            }
            Some(ValueMatcher::Or(any))
        }
        None => {
            cx.refuse(at, "needs a pattern");
            None
        }
    })
}
