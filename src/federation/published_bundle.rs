//! Our own bundle as its endpoint serves it.

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::spiffe::public_key::Fingerprint;

/// Our bundle as the endpoint serves it: rendered and compressed once per change, never per request.
#[derive(Debug)]
pub(crate) struct PublishedBundle {
    /// The JWKS document.
    pub(crate) bytes: Vec<u8>,
    /// The same, compressed with gzip.
    pub(crate) gzip: Vec<u8>,
    /// Strong entity tag of `bytes`, with its quotes; the one of `gzip` differs (RFC 9110 §8.8.3.3).
    pub(crate) etag: String,
    /// Strong entity tag of `gzip`, with its quotes.
    pub(crate) gzip_etag: String,
}

impl PublishedBundle {
    /// Compresses and tags a rendered document; equal bytes give equal tags, also after a restart.
    pub(crate) fn new(bytes: Vec<u8>) -> io::Result<Self> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&bytes)?;
        let gzip = encoder.finish()?;
        let digest = Fingerprint::of(&bytes);
        Ok(Self { etag: format!("\"{digest}\""), gzip_etag: format!("\"{digest}-gzip\""), bytes, gzip })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn the_two_encodings_carry_one_document_under_different_tags() {
        let published = PublishedBundle::new(b"{\"keys\":[]}".to_vec()).unwrap();
        let mut unpacked = Vec::new();
        GzDecoder::new(published.gzip.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, published.bytes);
        assert_ne!(published.etag, published.gzip_etag);
        assert_eq!(published.etag, PublishedBundle::new(published.bytes).unwrap().etag);
    }
}
