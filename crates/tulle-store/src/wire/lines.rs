//! Lines of bounded length over a socket.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};

use crate::StoreError;

/// Longest line: 8 MiB. The largest object of Kubernetes has 1.5 MiB.
const MAX_LINE: usize = 8 << 20;

/// Reads lines; what is read of a line survives when a call is dropped half-way.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader: BufReader::new(reader), line: Vec::new() }
    }

    /// The next line as JSON; `None` when the other side closed between lines.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, StoreError> {
        loop {
            let available = self.reader.fill_buf().await?;
            if available.is_empty() {
                let clean = self.line.is_empty();
                return if clean {
                    Ok(None)
                } else {
                    Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into())
                };
            }
            let end = available.iter().position(|b| *b == b'\n');
            let taken = end.map_or(available.len(), |at| at + 1);
            if self.line.len() + taken > MAX_LINE {
                return Err(StoreError::Protocol("a line is too long"));
            }
            self.line.extend_from_slice(&available[..taken]);
            self.reader.consume(taken);
            if end.is_some() {
                let value = serde_json::from_slice(&self.line);
                self.line.clear();
                return value.map(Some).map_err(|_| StoreError::Protocol("a line is not JSON"));
            }
        }
    }

    /// The next line; that the other side closed is an error.
    pub(super) async fn expect(&mut self) -> Result<Value, StoreError> {
        self.next().await?.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into())
    }
}

/// Writes one line.
pub(super) async fn write<W: AsyncWrite + Unpin>(writer: &mut W, value: &Value) -> Result<(), StoreError> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    if line.len() > MAX_LINE {
        return Err(StoreError::Protocol("a line is too long"));
    }
    writer.write_all(&line).await?;
    Ok(())
}
