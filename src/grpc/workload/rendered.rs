//! A view as the messages that all streams of a feed share.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use tracing::warn;

use crate::grpc::feed::Feed;
use crate::outputs::nobody::nobody;
use crate::outputs::view::View;
use crate::spiffe::authority::SvidType;
use crate::spiffe::bundle::Bundle;
use crate::spiffe::document::render::render_key_set;
use crate::spiffe::trust_domain::TrustDomain;

use super::messages::{JwtBundlesResponse, X509BundlesResponse};

/// The messages of one view, each with its gRPC prefix. Clones share the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Rendered {
    view: Arc<View>,
    pub(super) x509: Bytes,
    pub(super) jwt: Bytes,
}

impl Rendered {
    /// Made once for all that follow a feed, and again when it shows something else.
    pub(super) fn of(feed: &Feed, view: &Arc<View>) -> Self {
        let mut last = feed.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(last) if last.view.shows_the_same(view) => last.clone(),
            _ => last.insert(Self::new(view)).clone(),
        }
    }

    /// Each message has all there is (WL-05), our own domain always (WL-07), and of others those that have a key of its
    /// type (WL-09, WL-10).
    pub(super) fn new(view: &Arc<View>) -> Self {
        let x509 = X509BundlesResponse { bundles: by_id(view, SvidType::X509Svid, certificates) };
        let jwt = JwtBundlesResponse { bundles: by_id(view, SvidType::JwtSvid, render_key_set) };
        let (x509, jwt) = (framed("FetchX509Bundles", &x509), framed("FetchJWTBundles", &jwt));
        Self { view: view.clone(), x509, jwt }
    }
}

/// The bundles that have a key of this type by trust domain ID, and ours anyway: without a key it holds a certificate that
/// verifies nothing, since libraries for Python and Java discard every message with an empty bundle.
fn by_id(view: &View, svid_type: SvidType, render: impl Fn(&Bundle) -> Vec<u8>) -> BTreeMap<String, Vec<u8>> {
    let usable = |bundle: &Bundle| bundle.retain(|it| it.svid_type() == svid_type);
    let entry = |domain: &TrustDomain, bundle: &Bundle| (format!("spiffe://{domain}"), render(bundle));
    let all = view.selected.bundles.iter().map(|(domain, bundle)| (domain, usable(bundle)));
    let shown = all.filter(|(_, bundle)| !bundle.authorities().is_empty()).map(|(domain, it)| entry(domain, &it));
    std::iter::once(entry(&view.trust_domain, nobody())).chain(shown).collect()
}

/// Concatenated DER.
fn certificates(bundle: &Bundle) -> Vec<u8> {
    bundle.authorities().x509().flat_map(|authority| authority.der()).copied().collect()
}

/// With its prefix: not compressed, and so many bytes.
fn framed(method: &'static str, message: &impl Message) -> Bytes {
    let bytes = message.encoded_len();
    if bytes > USUAL_LIMIT {
        warn!(code = "workload-message-large", method, bytes, "clients that keep gRPC's usual limit can't read this");
    }
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + bytes);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(bytes).expect("a view holds less than 4 GiB"));
    message.encode_raw(&mut framed);
    framed.freeze()
}

/// What most gRPC libraries read unless told otherwise (WL-18).
const USUAL_LIMIT: usize = 4 << 20;
const PREFIX_BYTES: usize = 5;

#[cfg(test)]
mod tests;
