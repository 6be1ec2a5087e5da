//! What `x-request-id` says of sampling, as Envoy's UUID extension packs it.

/// Why a request is traced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reason {
    /// It is not.
    #[default]
    None,
    /// By chance.
    Sampled,
    /// A service asked for it (`x-envoy-force-trace`).
    Service,
    /// A client asked for it (`x-client-trace-id`).
    Client,
}

/// Length of a UUID.
const LEN: usize = 36;
/// Where the reason stands: the version of the UUID.
const AT: usize = 14;

impl Reason {
    fn digit(self) -> u8 {
        match self {
            Self::None => b'4',
            Self::Sampled => b'9',
            Self::Service => b'a',
            Self::Client => b'b',
        }
    }

    /// The reason that an id carries.
    pub fn of(id: &[u8]) -> Self {
        if id.len() != LEN {
            return Self::None;
        }
        match id[AT] {
            b'9' => Self::Sampled,
            b'a' => Self::Service,
            b'b' => Self::Client,
            _ => Self::None,
        }
    }

    /// Writes the reason into an id; `None` if it is no UUID, or says so already.
    pub fn packed(self, id: &[u8]) -> Option<[u8; LEN]> {
        let mut out: [u8; LEN] = id.try_into().ok()?;
        (out[AT] != self.digit()).then(|| {
            out[AT] = self.digit();
            out
        })
    }
}

/// The number of an id that decides on sampling, the same on every hop; `None` if it begins with no number.
pub fn number(id: &[u8]) -> Option<u64> {
    let digits: &[u8; 8] = id.first_chunk()?;
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | u64::from(char::from(*digit).to_digit(16)?)))
}

/// The trace that requests with this id belong to where no headers of traces travel: the id itself, whatever its reason.
pub fn trace_of(id: &[u8]) -> Option<super::TraceId> {
    let id: &[u8; LEN] = id.try_into().ok()?;
    let mut digits = [0; 32];
    let mut rest = id.iter().enumerate().filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23));
    for digit in &mut digits {
        let (at, byte) = rest.next()?;
        *digit = if at == AT { b'4' } else { *byte };
    }
    super::TraceId::parse(std::str::from_utf8(&digits).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_packed_and_read() {
        let id = b"12345678-aaaa-4bbb-8ccc-dddddddddddd";
        assert_eq!((Reason::of(id), number(id)), (Reason::None, Some(0x1234_5678)));
        for reason in [Reason::Sampled, Reason::Service, Reason::Client] {
            let packed = reason.packed(id).unwrap();
            assert_eq!((Reason::of(&packed), number(&packed)), (reason, number(id)));
            assert_eq!(reason.packed(&packed), None);
            assert_eq!(trace_of(&packed), trace_of(id));
        }
        assert_eq!(trace_of(id).unwrap().to_hex(), "12345678aaaa4bbb8cccdddddddddddd");
        assert_eq!(
            (Reason::of(b"mine"), Reason::Sampled.packed(b"mine"), number(b"mine")),
            (Reason::None, None, None)
        );
        assert_eq!((number(b"xyzxyzxyz"), trace_of(b"mine")), (None, None));
    }
}
