//! Choices by random numbers of a seed, so that a case can be had again.

/// xorshift64*: small, and the same everywhere.
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn number(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(mixed).unwrap() % below
    }

    /// True so many times of a hundred.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.number(100) < percent
    }

    pub fn one<'t, T: ?Sized>(&mut self, from: &[&'t T]) -> &'t T {
        from[self.number(from.len())]
    }

    /// One or two of them.
    pub fn few(&mut self, from: &[&str]) -> Vec<String> {
        (0..1 + self.number(2)).map(|_| self.one(from).to_owned()).collect()
    }
}
