//! Fields of a head (or trailers): one byte arena, one small entry for each line.

mod known;
mod list;
mod name;

pub use known::Known;
pub use list::{Header, HeaderList, Headers};
pub use name::{HeaderName, InvalidName, NameRef};

pub(crate) use name::{TOKEN, first_control, forbidden_in_trailers, is_lower_token, is_token, is_value};
