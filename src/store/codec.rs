//! Bundles as bytes: their canonical SPIFFE documents, which hold 64-bit sequences as no column can.

use crate::spiffe::bundle::Bundle;
use crate::spiffe::document::BundleDocument;
use crate::spiffe::document::render::{WitAuthorities, render};
use crate::spiffe::trust_domain::TrustDomain;

use super::error::StoreError;

/// The document of a bundle, proved to be readable: what is trusted must be found again after a restart.
pub(super) fn encode(bundle: &Bundle) -> Result<Vec<u8>, StoreError> {
    let bytes = render(bundle, WitAuthorities::Include);
    match decode(bundle.trust_domain(), &bytes) {
        Ok(found) if found == *bundle => Ok(bytes),
        _ => Err(StoreError::Unstorable { trust_domain: bundle.trust_domain().clone() }),
    }
}

pub(super) fn decode(trust_domain: &TrustDomain, bytes: &[u8]) -> Result<Bundle, StoreError> {
    let document = BundleDocument::parse(trust_domain, bytes).map_err(StoreError::corrupt)?;
    Ok(document.into_bundle())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spiffe::authority::{Authority, JwtAuthority};
    use crate::spiffe::public_key::PublicKey;

    #[test]
    fn what_could_not_be_read_back_is_refused() {
        let key = |at: usize| {
            let key = PublicKey::ed25519(&[7; 32]).unwrap();
            Authority::Jwt(JwtAuthority::new(&at.to_string(), key).unwrap())
        };
        let bundle = |keys| Bundle::new("b".parse().unwrap(), (0..keys).map(key).collect(), Some(u64::MAX), None);
        let fits = bundle(BundleDocument::MAX_KEYS);
        assert_eq!(decode(fits.trust_domain(), &encode(&fits).unwrap()).unwrap(), fits);
        let refusal = encode(&bundle(BundleDocument::MAX_KEYS + 1)).unwrap_err();
        assert_eq!(refusal.code(), "store-unstorable");
    }
}
