//! Headers as a proxy might pass them on.

use crate::http::xfcc::Element;
use crate::spiffe::public_key::Fingerprint;

use super::forwarded::ForwardedChain;

/// With a hash the leaf is the one that was hashed, and a hash changes nothing of what is read.
pub fn forwarded_chain(header: &[u8]) {
    let Ok(element) = Element::read([header]) else { return };
    let loose = ForwardedChain::read(&element, false);
    match ForwardedChain::read(&element, true) {
        Ok(strict) => {
            assert_eq!(element.hash, Some(Fingerprint::of(&strict.leaf).to_string()));
            assert_eq!(loose.as_ref(), Ok(&strict));
        }
        Err(_) => assert!(loose.is_err() || element.hash.is_none()),
    }
}
