//! A document in the coding that the client prefers, and not again if it has it (RFC 9110 §12.5.3, §13.1.2).

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::header::{
    self, AcceptEncoding, ContentType, Encoding, EntityTag, Header as _, HeaderValue, IfNoneMatch,
};

use crate::federation::published_bundle::{Coded, PublishedDocument};

/// The document in one content coding.
pub(super) struct Representation<'a> {
    coded: &'a Coded,
    gzip: bool,
}

impl<'a> Representation<'a> {
    pub(super) fn negotiate(document: &'a PublishedDocument, request: &HttpRequest) -> Self {
        let accepted = AcceptEncoding::parse(request).ok();
        let chosen = accepted.and_then(|accepted| accepted.negotiate([Encoding::gzip(), Encoding::identity()].iter()));
        let gzip = chosen == Some(Encoding::gzip());
        Self { coded: if gzip { &document.gzip } else { &document.identity }, gzip }
    }

    /// Weak comparison, as RFC 9110 §13.1.2 asks; a header that can't be read counts as none.
    fn is_known_to(&self, request: &HttpRequest) -> bool {
        let is_ours = |tag: &EntityTag| tag.tag() == self.coded.etag.trim_matches('"');
        match IfNoneMatch::parse(request) {
            Ok(IfNoneMatch::Any) => true,
            Ok(IfNoneMatch::Items(tags)) => tags.iter().any(is_ours),
            Err(_) => false,
        }
    }

    /// 304 or 200, of this media type and for caches on these terms.
    pub(super) fn answer(
        self,
        request: &HttpRequest,
        content_type: ContentType,
        cache_control: HeaderValue,
    ) -> HttpResponse {
        let known = self.is_known_to(request);
        let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        response.insert_header((header::CACHE_CONTROL, cache_control));
        response.insert_header((header::ETAG, self.coded.etag.as_str()));
        // A cache must not let a request that waits answer for one that doesn't (RFC 7240 §2).
        response.insert_header((header::VARY, HeaderValue::from_static("Accept-Encoding, Prefer")));
        if known {
            return response.finish();
        }
        response.insert_header(content_type);
        if self.gzip {
            response.insert_header((header::CONTENT_ENCODING, HeaderValue::from_static("gzip")));
        }
        response.body(self.coded.bytes.clone())
    }
}

/// A cached answer could hide a rotation (FES-04, FES-10).
pub(super) const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
