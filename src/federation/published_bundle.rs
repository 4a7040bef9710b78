//! Documents as they are served, our own bundle first of all.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::spiffe::public_key::Fingerprint;

/// Our bundle as the endpoint serves it.
#[derive(Debug)]
pub(crate) struct PublishedBundle {
    /// The JWKS document.
    pub(crate) document: PublishedDocument,
    /// The `spiffe_sequence` in it.
    pub(crate) sequence: u64,
}

/// A document as it is served: rendered and compressed once per change, never per request.
#[derive(Debug)]
pub(crate) struct PublishedDocument {
    /// As it is.
    pub(crate) identity: Coded,
    /// The same, compressed with gzip.
    pub(crate) gzip: Coded,
}

/// The document in one content coding.
#[derive(Debug)]
pub(crate) struct Coded {
    /// Shared: to send them copies nothing.
    pub(crate) bytes: Bytes,
    /// Strong entity tag, with its quotes; each coding has its own (RFC 9110 §8.8.3.3).
    pub(crate) etag: String,
}

impl PublishedBundle {
    /// See [`PublishedDocument::new`].
    pub(crate) fn new(document: Vec<u8>, sequence: u64) -> io::Result<Self> {
        Ok(Self { document: PublishedDocument::new(document)?, sequence })
    }
}

impl PublishedDocument {
    /// Compresses and tags a rendered document; equal bytes give equal tags, also after a restart.
    pub(crate) fn new(document: Vec<u8>) -> io::Result<Self> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&document)?;
        let gzip = encoder.finish()?;
        let digest = Fingerprint::of(&document);
        Ok(Self {
            identity: Coded { bytes: document.into(), etag: format!("\"{digest}\"") },
            gzip: Coded { bytes: gzip.into(), etag: format!("\"{digest}-gzip\"") },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn the_two_encodings_carry_one_document_under_different_tags() {
        let published = PublishedDocument::new(b"{\"keys\":[]}".to_vec()).unwrap();
        let mut unpacked = Vec::new();
        GzDecoder::new(&*published.gzip.bytes).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, published.identity.bytes);
        assert_ne!(published.identity.etag, published.gzip.etag);
        assert_eq!(published.identity.etag, PublishedDocument::new(unpacked).unwrap().identity.etag);
    }
}
