//! From tokens to a tree.

use regex::Regex;

use super::CelError;
use super::attribute::Attribute;
use super::lex::{Token, TokenKind, tokens};

/// How deeply expressions may be nested.
const MAX_DEPTH: usize = 64;
/// Memory that a compiled regular expression may take.
const MAX_REGEX: usize = 256 * 1024;

#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    Null,
    Attribute(Attribute),
    /// Whether the attribute is there.
    Has(Attribute),
    Not(Box<Node>),
    Negative(Box<Node>),
    And(Box<(Node, Node)>),
    Or(Box<(Node, Node)>),
    Choose(Box<(Node, Node, Node)>),
    Compare(Comparison, Box<(Node, Node)>),
    Add(Box<(Node, Node)>),
    Subtract(Box<(Node, Node)>),
    OneOf(Box<Node>, Vec<Node>),
    Size(Box<Node>),
    AsText(Box<Node>),
    AsInt(Box<Node>),
    Test(TextTest, Box<(Node, Node)>),
    Matches(Box<Node>, Box<Regex>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextTest {
    Contains,
    StartsWith,
    EndsWith,
}

impl PartialEq for Node {
    /// Regular expressions are equal when they are written the same.
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

impl Node {
    pub(super) fn visit<'a>(&'a self, f: &mut impl FnMut(&'a Self)) {
        f(self);
        match self {
            Self::Text(_)
            | Self::Int(_)
            | Self::Double(_)
            | Self::Bool(_)
            | Self::Null
            | Self::Attribute(_)
            | Self::Has(_) => {}
            Self::Not(inner)
            | Self::Negative(inner)
            | Self::Size(inner)
            | Self::AsText(inner)
            | Self::AsInt(inner)
            | Self::Matches(inner, _) => inner.visit(f),
            Self::And(both)
            | Self::Or(both)
            | Self::Compare(_, both)
            | Self::Add(both)
            | Self::Subtract(both)
            | Self::Test(_, both) => {
                both.0.visit(f);
                both.1.visit(f);
            }
            Self::Choose(all) => {
                all.0.visit(f);
                all.1.visit(f);
                all.2.visit(f);
            }
            Self::OneOf(inner, list) => {
                inner.visit(f);
                list.iter().for_each(|node| node.visit(f));
            }
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Node, CelError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let root = parser.expression()?;
    match parser.next() {
        None => Ok(root),
        Some(more) => Err(unexpected(&more, "an operator")),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

fn unexpected(token: &Token, expected: &'static str) -> CelError {
    CelError::Unexpected { found: token.kind.written(), at: token.at, expected }
}

impl Parser {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += usize::from(token.is_some());
        token
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.tokens.get(self.at), Some(Token { kind: TokenKind::Sign(s), .. }) if *s == sign)
    }

    fn take(&mut self, sign: &str) -> bool {
        let taken = self.is(sign);
        self.at += usize::from(taken);
        taken
    }

    fn take_any(&mut self, signs: &[&'static str]) -> Option<&'static str> {
        signs.iter().copied().find(|sign| self.take(sign))
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), CelError> {
        if self.take(sign) {
            return Ok(());
        }
        match self.next() {
            Some(token) => Err(unexpected(&token, sign)),
            None => Err(CelError::Ends(sign)),
        }
    }

    fn expression(&mut self) -> Result<Node, CelError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(CelError::TooDeep);
        }
        let condition = self.or()?;
        let node = if self.take("?") {
            let then = self.or()?;
            self.expect(":")?;
            Node::Choose(Box::new((condition, then, self.expression()?)))
        } else {
            condition
        };
        self.depth -= 1;
        Ok(node)
    }

    fn or(&mut self) -> Result<Node, CelError> {
        let mut left = self.and()?;
        while self.take("||") {
            left = Node::Or(Box::new((left, self.and()?)));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Node, CelError> {
        let mut left = self.relation()?;
        while self.take("&&") {
            left = Node::And(Box::new((left, self.relation()?)));
        }
        Ok(left)
    }

    fn relation(&mut self) -> Result<Node, CelError> {
        let left = self.sum()?;
        let is_in =
            matches!(self.tokens.get(self.at), Some(Token { kind: TokenKind::Name(n), .. }) if n == "in");
        if is_in {
            self.at += 1;
            return self.one_of(left);
        }
        let Some(sign) = self.take_any(&["==", "!=", "<=", ">=", "<", ">"]) else { return Ok(left) };
        let comparison = match sign {
            "==" => Comparison::Equal,
            "!=" => Comparison::Unequal,
            "<=" => Comparison::AtMost,
            ">=" => Comparison::AtLeast,
            "<" => Comparison::Less,
            _ => Comparison::Greater,
        };
        Ok(Node::Compare(comparison, Box::new((left, self.sum()?))))
    }

    /// The right side of `in`: a list, or the headers of a request.
    fn one_of(&mut self, left: Node) -> Result<Node, CelError> {
        if self.is("[") {
            return Ok(Node::OneOf(Box::new(left), self.list("[", "]")?));
        }
        let mut path = match self.next() {
            Some(Token { kind: TokenKind::Name(name), .. }) => vec![name],
            Some(token) => return Err(unexpected(&token, "a list or an attribute")),
            None => return Err(CelError::Ends("a list or an attribute")),
        };
        while self.take(".") {
            path.push(self.name()?);
        }
        let Node::Text(key) = left else { return Err(CelError::Arguments("in")) };
        path.push(key);
        Attribute::named(&path).map(Node::Has)
    }

    fn sum(&mut self) -> Result<Node, CelError> {
        let mut left = self.unary()?;
        while let Some(sign) = self.take_any(&["+", "-"]) {
            let both = Box::new((left, self.unary()?));
            left = if sign == "+" { Node::Add(both) } else { Node::Subtract(both) };
        }
        if let Some(sign) = ["*", "/", "%"].into_iter().find(|sign| self.is(sign)) {
            return Err(CelError::Function(sign.to_owned()));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Node, CelError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(CelError::TooDeep);
        }
        let node = match self.take_any(&["!", "-"]) {
            Some("!") => Node::Not(Box::new(self.unary()?)),
            Some(_) => Node::Negative(Box::new(self.unary()?)),
            None => self.postfix()?,
        };
        self.depth -= 1;
        Ok(node)
    }

    /// Something, and the tests of texts that are written behind it.
    fn postfix(&mut self) -> Result<Node, CelError> {
        let mut node = self.primary()?;
        while self.take(".") {
            let method = self.name()?;
            if !self.is("(") {
                return Err(CelError::Unknown { name: method, near: String::new() });
            }
            node = self.method(node, &method)?;
        }
        Ok(node)
    }

    fn method(&mut self, of: Node, name: &str) -> Result<Node, CelError> {
        let mut arguments = self.list("(", ")")?;
        let test = match name {
            "contains" => TextTest::Contains,
            "startsWith" => TextTest::StartsWith,
            "endsWith" => TextTest::EndsWith,
            "size" if arguments.is_empty() => return Ok(Node::Size(Box::new(of))),
            "matches" => {
                let Some(Node::Text(written)) = arguments.pop() else {
                    return Err(CelError::Arguments("matches"));
                };
                return regex(&written).map(|regex| Node::Matches(Box::new(of), Box::new(regex)));
            }
            other => return Err(CelError::Function(other.to_owned())),
        };
        match (arguments.pop(), arguments.is_empty()) {
            (Some(argument), true) => Ok(Node::Test(test, Box::new((of, argument)))),
            _ => Err(CelError::Arguments("a test of texts")),
        }
    }

    fn primary(&mut self) -> Result<Node, CelError> {
        let token = self.next().ok_or(CelError::Ends("an expression"))?;
        match &token.kind {
            TokenKind::Text(text) => Ok(Node::Text(text.clone())),
            TokenKind::Int(number) => Ok(Node::Int(*number)),
            TokenKind::Double(number) => Ok(Node::Double(*number)),
            TokenKind::Sign("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            TokenKind::Name(name) => match name.as_str() {
                "true" => Ok(Node::Bool(true)),
                "false" => Ok(Node::Bool(false)),
                "null" => Ok(Node::Null),
                _ if self.is("(") => self.function(name),
                _ => self.path(name).and_then(|path| Attribute::named(&path)).map(Node::Attribute),
            },
            TokenKind::Sign(_) => Err(unexpected(&token, "an expression")),
        }
    }

    fn function(&mut self, name: &str) -> Result<Node, CelError> {
        let mut arguments = self.list("(", ")")?;
        let (argument, alone) = (arguments.pop(), arguments.is_empty());
        let (Some(argument), true) = (argument, alone) else {
            return Err(match name {
                "has" | "size" | "string" | "int" => CelError::Arguments("a function"),
                other => CelError::Function(other.to_owned()),
            });
        };
        match (name, argument) {
            ("has", Node::Attribute(attribute)) => Ok(Node::Has(attribute)),
            ("has", _) => Err(CelError::Arguments("has")),
            ("size", argument) => Ok(Node::Size(Box::new(argument))),
            ("string", argument) => Ok(Node::AsText(Box::new(argument))),
            ("int", argument) => Ok(Node::AsInt(Box::new(argument))),
            (other, _) => Err(CelError::Function(other.to_owned())),
        }
    }

    /// The names and keys behind `first`, up to a function.
    fn path(&mut self, first: &str) -> Result<Vec<String>, CelError> {
        let mut path = vec![first.to_owned()];
        loop {
            if self.is(".") && !self.calls_after_dot() {
                self.at += 1;
                path.push(self.name()?);
            } else if self.take("[") {
                match self.next() {
                    Some(Token { kind: TokenKind::Text(key), .. }) => path.push(key),
                    Some(token) => return Err(unexpected(&token, "a key in quotes")),
                    None => return Err(CelError::Ends("a key in quotes")),
                }
                self.expect("]")?;
            } else {
                return Ok(path);
            }
        }
    }

    /// Whether `.name(` follows.
    fn calls_after_dot(&self) -> bool {
        matches!(
            self.tokens.get(self.at + 1..self.at + 3),
            Some([Token { kind: TokenKind::Name(_), .. }, Token { kind: TokenKind::Sign("("), .. }])
        )
    }

    fn name(&mut self) -> Result<String, CelError> {
        match self.next() {
            Some(Token { kind: TokenKind::Name(name), .. }) => Ok(name),
            Some(token) => Err(unexpected(&token, "a name")),
            None => Err(CelError::Ends("a name")),
        }
    }

    fn list(&mut self, open: &'static str, close: &'static str) -> Result<Vec<Node>, CelError> {
        self.expect(open)?;
        let mut out = Vec::new();
        if self.take(close) {
            return Ok(out);
        }
        loop {
            out.push(self.expression()?);
            if self.take(close) {
                return Ok(out);
            }
            self.expect(",")?;
        }
    }
}

fn regex(written: &str) -> Result<Regex, CelError> {
    let built = regex::RegexBuilder::new(written).size_limit(MAX_REGEX).build();
    built.map_err(|error| CelError::Regex(error.to_string().lines().last().unwrap_or_default().to_owned()))
}
