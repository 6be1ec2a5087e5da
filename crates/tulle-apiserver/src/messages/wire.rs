//! The wire format of protobuf: numbered fields, one after the other.

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Datum<'b> {
    /// A number.
    Varint(u64),
    /// A text, bytes or a message.
    Bytes(&'b [u8]),
    /// Four or eight bytes, which no table has.
    Fixed,
}

impl Datum<'_> {
    /// Whether it is what Go writes for a field without a value.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Varint(number) => *number == 0,
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Fixed => false,
        }
    }
}

/// The fields of a message, as they come; ends after the first that is malformed.
pub(super) struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let Some((&byte, rest)) = self.rest.split_first() else { break };
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number has no end".to_owned())
    }

    fn take(&mut self, length: u64) -> Result<&'b [u8], String> {
        let taken = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        let (bytes, rest) = taken.ok_or("a field is longer than its message")?;
        self.rest = rest;
        Ok(bytes)
    }

    fn field(&mut self) -> Result<(u64, Datum<'b>), String> {
        let tag = self.varint()?;
        let datum = match tag & 7 {
            0 => Datum::Varint(self.varint()?),
            1 => self.take(8).map(|_| Datum::Fixed)?,
            2 => {
                let length = self.varint()?;
                Datum::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Datum::Fixed)?,
            other => return Err(format!("{other} is not a type of fields")),
        };
        Ok((tag >> 3, datum))
    }
}

impl<'b> Iterator for Reader<'b> {
    type Item = Result<(u64, Datum<'b>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}
