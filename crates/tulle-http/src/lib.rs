//! HTTP/1.1 and HTTP/2 codecs without I/O.
