//! Programs that stand for images: Bookinfo, curl, httpbin, echo and a load generator.
